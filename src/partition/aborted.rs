//! The aborted transactions that a reader of the tier is told of.
//!
//! A segment's footer lists those whose markers lie in it. The marker of one that has records there may lie in a later
//! segment, or on the local disk alone. The producer snapshot in the footer says which transactions are open at the
//! segment's end: where none of them began in what was read, nothing later is looked at.

use stratalog_tiering::format::Footer;
use stratalog_types::Offset;
use tokio::time::Instant;

use super::error::ReadError;
use super::leader::Partition;
use super::offsets::off_worker;
use super::tier::Tiered;
use crate::log::{self, AbortedTransaction};

impl Partition {
    /// Those that a read of `from..until` from the tier has to tell of, in the order of their markers.
    pub(super) async fn aborted_in_tier(
        &self,
        tiered: &Tiered,
        from: Offset,
        until: Offset,
        deadline: Instant,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut found = Vec::new();
        let mut at = from;
        loop {
            while let Some((end_offset, footer)) = tiered.footer_at(at, deadline).await.map_err(ReadError::Tier)? {
                let nothing_later = gather(&footer, from, until, &mut found);
                if nothing_later && end_offset >= until {
                    return Ok(found);
                }
                at = end_offset;
            }
            let log = self.log().clone();
            let local = off_worker(move || log.aborted_transactions(at, until)).await?.map_err(ReadError::Log)?;
            let is_evicted = self.log().local_log_start_offset() > at && self.tiered_end_offset() > Some(at);
            if !is_evicted {
                found.extend(local);
                return Ok(found);
            }
        }
    }
}

/// Answers whether the footers behind this one have nothing to add.
fn gather(footer: &Footer, from: Offset, until: Offset, found: &mut Vec<AbortedTransaction>) -> bool {
    for row in &footer.aborted {
        if row.last_offset >= from && row.first_offset < until {
            found.push(AbortedTransaction {
                producer_id: row.producer_id.0,
                first_offset: row.first_offset.0,
                last_offset: row.last_offset.0,
                last_stable_offset: row.last_stable_offset.0,
            });
        }
    }
    let undecided = log::first_undecided_offset(&footer.producer_snapshot);
    undecided.is_ok_and(|first| first.is_none_or(|first| first >= until.0))
}
