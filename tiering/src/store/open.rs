//! From `stratalog.tier.url` to a store.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::FilesStore;
use super::s3::{S3Settings, S3Store};
use super::{Store, StoreError};

/// Where the tier is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierUrl {
    /// `file:///path`
    Files(PathBuf),
    /// `s3://bucket/prefix`
    S3 { bucket: String, prefix: String },
}

impl TierUrl {
    pub fn parse(url: &str) -> Result<TierUrl, StoreError> {
        if let Some(path) = url.strip_prefix("file://")
            && path.starts_with('/')
        {
            return Ok(TierUrl::Files(PathBuf::from(path)));
        }
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !bucket.is_empty() {
                return Ok(TierUrl::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() });
            }
        }
        let reason = format!("stratalog.tier.url is '{url}': give file:///absolute/path or s3://bucket/prefix");
        Err(StoreError::Refused { key: String::new(), reason })
    }
}

/// Opens the store at `url`. Of `s3`, bucket and prefix are the URL's.
pub fn open(url: &TierUrl, s3: S3Settings) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        TierUrl::Files(path) => Ok(Arc::new(FilesStore::open(path)?)),
        TierUrl::S3 { bucket, prefix } => {
            let settings = S3Settings { bucket: bucket.clone(), prefix: prefix.clone(), ..s3 };
            Ok(Arc::new(S3Store::open(settings)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_store() {
        assert_eq!(TierUrl::parse("file:///data/tier").ok(), Some(TierUrl::Files("/data/tier".into())));
        let s3 = |bucket: &str, prefix: &str| Some(TierUrl::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(TierUrl::parse("s3://logs").ok(), s3("logs", ""));
        assert_eq!(TierUrl::parse("s3://logs/a/b/").ok(), s3("logs", "a/b"));
        for bad in ["", "s3://", "s3:///x", "file://x", "http://x", "/data"] {
            assert!(TierUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
