//! Bodies of unknown size: one PUT, or equal parts with a few in flight.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload};

use super::super::{Key, PartSource, StoreError, Stored};
use super::S3Store;
use super::answer::Answer;
use super::classify::Kind;

/// S3's own bound.
const PARTS_MAX: usize = 10_000;

pub(super) async fn put(store: &S3Store, key: &Key, source: &mut dyn PartSource) -> Result<(u64, Stored), StoreError> {
    let path = store.path(key)?;
    let mut pieces = Pieces::new(source, store.settings.part_bytes);
    let first = pieces.next_part().await?;
    let Some(second) = pieces.next_part_after(&first).await? else {
        return put_whole(store, key, &path, first).await;
    };
    let upload = Upload { store, key, path: &path, id: begin(store, key, &path).await? };
    match upload.send_all(first, second, &mut pieces).await {
        Ok(sent) => upload.complete(sent).await,
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

/// The stream regrouped into parts of exactly the same size, but the last.
struct Pieces<'a> {
    source: &'a mut dyn PartSource,
    part_bytes: usize,
    rest: Option<Bytes>,
    ended: bool,
}

/// The pieces of one part, in order, not copied together.
struct Part {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Part {
    fn payload(&self) -> PutPayload {
        self.pieces.iter().cloned().collect()
    }
}

impl<'a> Pieces<'a> {
    fn new(source: &'a mut dyn PartSource, part_bytes: usize) -> Pieces<'a> {
        Pieces { source, part_bytes, rest: None, ended: false }
    }

    async fn next_part(&mut self) -> Result<Part, StoreError> {
        let mut part = Part { pieces: Vec::new(), bytes: 0 };
        while part.bytes < self.part_bytes {
            let mut piece = match self.rest.take() {
                Some(rest) => rest,
                None if self.ended => break,
                None => match self.source.next().await? {
                    Some(piece) => piece,
                    None => {
                        self.ended = true;
                        break;
                    }
                },
            };
            let room = self.part_bytes - part.bytes;
            if piece.len() > room {
                self.rest = Some(piece.split_off(room));
            }
            part.bytes += piece.len();
            part.pieces.push(piece);
        }
        Ok(part)
    }

    /// `None` when `part` was the last one.
    async fn next_part_after(&mut self, part: &Part) -> Result<Option<Part>, StoreError> {
        if part.bytes < self.part_bytes {
            return Ok(None);
        }
        let next = self.next_part().await?;
        Ok((next.bytes > 0).then_some(next))
    }
}

fn stored(confirmed: bool) -> Stored {
    if confirmed { Stored::ChecksumVerified } else { Stored::Unverified }
}

async fn put_whole(store: &S3Store, key: &Key, path: &Path, body: Part) -> Result<(u64, Stored), StoreError> {
    let call = || {
        let options =
            PutOptions { mode: PutMode::Create, attributes: store.segment_attributes(), ..PutOptions::default() };
        store.client.put_opts(path, body.payload(), options)
    };
    let (_, answer) = store.repeat(key, Kind::Create, call).await?;
    Ok((body.bytes as u64, stored(answer.checksum_confirmed)))
}

async fn begin(store: &S3Store, key: &Key, path: &Path) -> Result<String, StoreError> {
    // Through the trait of the client that takes attributes; the upload it returns is not used, only begun.
    let attributes = store.segment_attributes();
    if attributes.is_empty() {
        let call = || MultipartStore::create_multipart(&*store.client, path);
        return store.repeat(key, Kind::Part, call).await.map(|(id, _)| id);
    }
    let call = || {
        let options = PutMultipartOptions { attributes: attributes.clone(), ..PutMultipartOptions::default() };
        MultipartStore::create_multipart_opts(&*store.client, path, options)
    };
    store.repeat(key, Kind::Part, call).await.map(|(id, _)| id)
}

struct Upload<'a> {
    store: &'a S3Store,
    key: &'a Key,
    path: &'a Path,
    id: String,
}

struct Sent {
    parts: Vec<PartId>,
    bytes: u64,
    confirmed: bool,
}

impl Upload<'_> {
    async fn send_all(&self, first: Part, second: Part, pieces: &mut Pieces<'_>) -> Result<Sent, StoreError> {
        let (mut parts, mut bytes, mut confirmed, mut number) = (Vec::new(), 0u64, true, 0usize);
        let mut waiting = VecDeque::from([first, second]);
        let mut in_flight = FuturesUnordered::new();
        let mut ended = false;
        loop {
            while in_flight.len() < self.store.settings.parts_in_flight_max.max(1) {
                let part = match waiting.pop_front() {
                    Some(part) => part,
                    None if ended => break,
                    None => {
                        let part = pieces.next_part().await?;
                        ended = part.bytes < self.store.settings.part_bytes;
                        if part.bytes == 0 {
                            break;
                        }
                        part
                    }
                };
                if number >= PARTS_MAX {
                    let reason = format!("more than {PARTS_MAX} parts: raise the part size");
                    return Err(StoreError::Refused { key: self.key.to_owned(), reason });
                }
                bytes += part.bytes as u64;
                in_flight.push(self.send(number, part));
                number += 1;
            }
            let Some(done) = in_flight.next().await else { break };
            let (number, (id, answer)) = done?;
            confirmed &= answer.checksum_confirmed;
            parts.push((number, id));
        }
        parts.sort_by_key(|(number, _)| *number);
        Ok(Sent { parts: parts.into_iter().map(|(_, id)| id).collect(), bytes, confirmed })
    }

    async fn send(&self, number: usize, part: Part) -> Result<(usize, (PartId, Answer)), StoreError> {
        let client: &AmazonS3 = &self.store.client;
        let call = || MultipartStore::put_part(client, self.path, &self.id, number, part.payload());
        self.store.repeat(self.key, Kind::Part, call).await.map(|sent| (number, sent))
    }

    /// Sent once: a store answers a second completion as if there had never been an upload.
    async fn complete(&self, sent: Sent) -> Result<(u64, Stored), StoreError> {
        let Sent { parts, bytes, confirmed } = sent;
        let call = MultipartStore::complete_multipart(&*self.store.client, self.path, &self.id, parts);
        match self.store.attempt(self.key, Kind::Complete, call).await {
            Ok(_) => Ok((bytes, stored(confirmed))),
            Err(error @ StoreError::Ambiguous { .. }) => Err(error),
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Best effort: what is left is found as a stale upload.
    async fn abort(&self) {
        let call = || MultipartStore::abort_multipart(&*self.store.client, self.path, &self.id);
        if let Err(error) = self.store.repeat(self.key, Kind::Delete, call).await {
            tracing::debug!(%error, key = self.key, "upload not aborted");
        }
    }
}
