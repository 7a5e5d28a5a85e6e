//! The objects, and how a write changes them.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use bytes::Bytes;

use super::super::{Etag, ObjectInfo, Purpose, StoreError};
use super::fault::{Call, Fault, Method};

pub(super) type Rule = Box<dyn FnMut(&Call) -> Option<Fault> + Send>;

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) body: Bytes,
    pub(super) etag: Etag,
    pub(super) modified_at: i64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) calls: Vec<Call>,
    pub(super) rule: Option<Rule>,
    pub(super) late: Vec<Write>,
    /// Unfinished multipart uploads: number, key, begun at.
    pub(super) uploads: Vec<(u64, String, i64)>,
    pub(super) now_ms: i64,
    pub(super) confirms_checksums: bool,
    next_upload: u64,
}

/// A write whose condition is judged when it takes effect.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Create {
        key: String,
        body: Bytes,
    },
    IfMatch {
        key: String,
        body: Bytes,
        expected: Etag,
    },
    /// The end of a stream: names are unique, so it overwrites like a multipart completion does.
    Complete {
        key: String,
        body: Bytes,
        upload: u64,
    },
    Delete {
        key: String,
    },
}

impl Write {
    pub(super) fn key(&self) -> &str {
        match self {
            Write::Create { key, .. }
            | Write::IfMatch { key, .. }
            | Write::Complete { key, .. }
            | Write::Delete { key } => key,
        }
    }
}

impl State {
    pub(super) fn log(&mut self, method: Method, key: &str, bytes: u64, purpose: Purpose) -> Option<Fault> {
        let call = Call { index: self.calls.len() as u64, method, key: key.to_owned(), bytes, purpose };
        let fault = self.rule.as_mut().and_then(|rule| rule(&call));
        self.calls.push(call);
        fault
    }

    pub(super) fn apply(&mut self, write: &Write) -> Result<Etag, StoreError> {
        match write {
            Write::Create { key, body } => {
                if self.objects.contains_key(key) {
                    return Err(StoreError::AlreadyExists { key: key.clone() });
                }
                Ok(self.plant(key, body.clone()))
            }
            Write::IfMatch { key, body, expected } => match self.objects.get(key) {
                None => Err(StoreError::NotFound { key: key.clone() }),
                Some(object) if object.etag != *expected => Err(StoreError::Precondition { key: key.clone() }),
                Some(_) => Ok(self.plant(key, body.clone())),
            },
            Write::Complete { key, body, upload } => {
                if !self.uploads.iter().any(|(number, ..)| number == upload) {
                    // Aborted meanwhile.
                    return Err(StoreError::Ambiguous { key: key.clone(), reason: "no such upload".into() });
                }
                self.uploads.retain(|(number, ..)| number != upload);
                Ok(self.plant(key, body.clone()))
            }
            Write::Delete { key } => {
                self.objects.remove(key);
                Ok(Etag(String::new()))
            }
        }
    }

    pub(super) fn plant(&mut self, key: &str, body: Bytes) -> Etag {
        // Content-derived, as MD5 is on S3: equal bytes, equal tag.
        let etag = Etag(format!("\"{:08x}-{:x}\"", crc32c::crc32c(&body), body.len()));
        let object = Object { body, etag: etag.clone(), modified_at: self.now_ms };
        self.objects.insert(key.to_owned(), object);
        etag
    }

    pub(super) fn get(&self, key: &str) -> Result<(Bytes, Etag), StoreError> {
        let object = self.objects.get(key).ok_or_else(|| StoreError::NotFound { key: key.to_owned() })?;
        Ok((object.body.clone(), object.etag.clone()))
    }

    pub(super) fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (body, _) = self.get(key)?;
        let wrong = || StoreError::WrongAnswer {
            key: key.to_owned(),
            reason: format!("asked for bytes {}..{} of {}", range.start, range.end, body.len()),
        };
        let start = usize::try_from(range.start).map_err(|_| wrong())?;
        let end = usize::try_from(range.end).map_err(|_| wrong())?;
        if start > end || end > body.len() {
            return Err(wrong());
        }
        Ok(body.slice(start..end))
    }

    pub(super) fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        let object = self.objects.get(key).ok_or_else(|| StoreError::NotFound { key: key.to_owned() })?;
        Ok(info(key, object))
    }

    pub(super) fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> Vec<ObjectInfo> {
        let from = match start_after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, object)| info(key, object))
            .collect()
    }

    pub(super) fn begin_upload(&mut self, key: &str) -> u64 {
        self.next_upload += 1;
        self.uploads.push((self.next_upload, key.to_owned(), self.now_ms));
        self.next_upload
    }

    pub(super) fn abort_stale(&mut self, prefix: &str, older_than_ms: i64) -> u64 {
        let before = self.uploads.len();
        let now_ms = self.now_ms;
        self.uploads
            .retain(|(_, key, begun)| !key.starts_with(prefix) || now_ms.saturating_sub(*begun) <= older_than_ms);
        (before - self.uploads.len()) as u64
    }
}

fn info(key: &str, object: &Object) -> ObjectInfo {
    ObjectInfo {
        key: key.to_owned(),
        bytes: object.body.len() as u64,
        etag: object.etag.clone(),
        modified_at: object.modified_at,
    }
}
