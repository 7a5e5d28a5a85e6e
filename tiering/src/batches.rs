//! Borders of record batches: the 12 bytes that open each one, and nothing more of a record is ever read here.

use stratalog_types::Offset;

/// Bytes of `base_offset` (i64) and `batch_length` (i32), which the length does not count.
const OVERHEAD_BYTES: usize = 12;
/// What a batch header still needs after them.
const LENGTH_MIN: usize = 49;

/// One batch inside a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpan {
    pub base_offset: Offset,
    pub start: usize,
    pub end: usize,
}

/// The batches of a run in order. Ends early at a border that cannot be right; `end` of the last span tells.
pub fn spans(run: &[u8]) -> impl Iterator<Item = BatchSpan> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let span = span_at(run, start)?;
        start = span.end;
        Some(span)
    })
}

fn span_at(run: &[u8], start: usize) -> Option<BatchSpan> {
    let rest = run.get(start..)?;
    let base_offset = i64::from_be_bytes(*rest.first_chunk()?);
    let length = i32::from_be_bytes(*rest.get(8..)?.first_chunk()?);
    let length = usize::try_from(length).ok().filter(|length| *length >= LENGTH_MIN)?;
    let bytes = OVERHEAD_BYTES.checked_add(length).filter(|bytes| *bytes <= rest.len())?;
    Some(BatchSpan { base_offset: Offset(base_offset), start, end: start + bytes })
}

/// Whether a run is whole batches from its first byte to its last, with base offsets that rise from `base` and stay
/// at or below `last`.
pub fn are_whole(run: &[u8], base: Offset, last: Offset) -> bool {
    let (mut end, mut before) = (0, None);
    for span in spans(run) {
        let rises = match before {
            None => span.base_offset == base,
            Some(before) => span.base_offset > before,
        };
        if !rises || span.base_offset > last {
            return false;
        }
        (end, before) = (span.end, Some(span.base_offset));
    }
    !run.is_empty() && end == run.len()
}

/// Where the batch that holds `offset` starts: the last one that does not begin after it, else the first one.
pub fn start_of(run: &[u8], offset: Offset) -> usize {
    spans(run).take_while(|span| span.base_offset <= offset).last().map_or(0, |span| span.start)
}

/// How many bytes of whole batches fit into `limit`; at least the first batch.
pub fn whole_bytes_within(run: &[u8], limit: usize) -> usize {
    if run.len() <= limit {
        return run.len();
    }
    let mut fit = 0;
    for span in spans(run) {
        if span.end > limit && fit > 0 {
            break;
        }
        fit = span.end;
        if fit > limit {
            break;
        }
    }
    if fit == 0 { run.len() } else { fit }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::{BufMut, Bytes, BytesMut};
    use proptest::prelude::*;

    /// Bytes that have a batch's border and nothing else of one.
    pub(crate) fn batch(base_offset: i64, body: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i64(base_offset);
        out.put_i32(49 + body.len() as i32);
        out.put_bytes(0xAB, 49);
        out.put_slice(body);
        out.freeze()
    }

    fn run() -> Vec<u8> {
        [batch(10, b"a"), batch(15, b"bcd"), batch(16, b"")].concat()
    }

    #[test]
    fn borders_are_found() {
        let run = run();
        let starts: Vec<_> = spans(&run).map(|span| (span.base_offset.get(), span.start)).collect();
        assert_eq!(starts, [(10, 0), (15, 62), (16, 126)]);
        assert_eq!([9, 10, 14, 15, 16, 99].map(|offset| start_of(&run, Offset(offset))), [0, 0, 0, 62, 126, 126]);
        assert_eq!(
            [0, 62, 125, 126, 186, 187, 999].map(|limit| whole_bytes_within(&run, limit)),
            [62, 62, 62, 126, 126, 187, 187]
        );
        assert!(are_whole(&run, Offset(10), Offset(16)));
        assert!(!are_whole(&run, Offset(9), Offset(16)) && !are_whole(&run, Offset(10), Offset(15)));
        assert!(!are_whole(&run[..run.len() - 1], Offset(10), Offset(16)) && !are_whole(&[], Offset(0), Offset(0)));
        let backwards = [batch(10, b"a"), batch(10, b"b")].concat();
        assert!(!are_whole(&backwards, Offset(10), Offset(16)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), offset: i64, limit in 0usize..300) {
            prop_assert!(start_of(&bytes, Offset(offset)) <= bytes.len());
            prop_assert!(whole_bytes_within(&bytes, limit) <= bytes.len());
            let _ = are_whole(&bytes, Offset(offset), Offset(offset));
        }
    }
}
