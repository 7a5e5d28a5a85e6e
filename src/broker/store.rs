//! The tier's store as the configuration names it, metered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stratalog_tiering::store::files::FilesStore;
use stratalog_tiering::store::memory::Method;
use stratalog_tiering::store::metered::{Meter, MeteredStore, Usage, UsageKey};
use stratalog_tiering::store::s3::{S3Settings, S3Store};
use stratalog_tiering::store::{Purpose, Store, StoreError};
use tokio::sync::watch;

use crate::config::{S3Config, TierConfig, TierLocation};
use crate::metadata::Metadata;
use crate::metrics::{Metrics, StoreBytesLabels, StoreRequestLabels};

/// Between two transfers of the meter's counts to the metrics.
const METER_INTERVAL: Duration = Duration::from_secs(1);

/// Opens the store; asks it nothing, so that a store that is away does not hold up the start.
pub fn open(config: &TierConfig, meter: Meter) -> Result<Arc<dyn Store>, StoreError> {
    let store: Arc<dyn Store> = match &config.location {
        TierLocation::Directory { path, .. } => Arc::new(FilesStore::open(path)?),
        TierLocation::S3(s3) => Arc::new(S3Store::open(settings(config, s3))?),
    };
    Ok(Arc::new(MeteredStore::new(store, meter)))
}

fn settings(config: &TierConfig, s3: &S3Config) -> S3Settings {
    S3Settings {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        path_style: s3.path_style,
        keys: s3.credentials.as_ref().map(|keys| (keys.access_key_id.clone(), keys.secret_access_key.clone())),
        ca_file: s3.ca_file.clone(),
        storage_class: s3.storage_class.clone(),
        deadline: config.request_timeout,
        part_bytes: usize::try_from(config.upload_part_bytes).unwrap_or(usize::MAX),
        ..S3Settings::new(s3.bucket.clone(), s3.prefix.clone())
    }
}

/// Carries the meter's counts over to the metrics until the broker drains.
pub async fn meter(meter: Meter, metadata: Arc<Metadata>, metrics: Arc<Metrics>, mut stopped: watch::Receiver<bool>) {
    let mut seen: HashMap<UsageKey, Usage> = HashMap::new();
    loop {
        let image = metadata.image();
        for (key, usage) in meter.usage() {
            let before = seen.insert(key, usage).unwrap_or_default();
            let topic = key.topic_id.and_then(|id| image.topic_by_id(id)).map_or("", |topic| &topic.name);
            record(&metrics, topic, key, &before, &usage);
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(METER_INTERVAL) => {}
        }
    }
}

fn record(metrics: &Metrics, topic: &str, key: UsageKey, before: &Usage, now: &Usage) {
    let (operation, purpose) = (operation(key.method), purpose(key.purpose));
    let errors = now.errors - before.errors;
    let requests = (now.requests - before.requests).saturating_sub(errors);
    for (outcome, count) in [("ok", requests), ("error", errors)] {
        if count > 0 {
            let labels = StoreRequestLabels { operation, purpose, outcome };
            metrics.store_requests.get_or_create(&labels).inc_by(count);
        }
    }
    let sent = now.bytes_sent - before.bytes_sent;
    let received = now.bytes_received - before.bytes_received;
    for (direction, bytes) in [("sent", sent), ("received", received)] {
        if bytes > 0 {
            let labels = StoreBytesLabels { topic: topic.to_owned(), purpose, direction };
            metrics.store_bytes.get_or_create(&labels).inc_by(bytes);
        }
    }
}

fn operation(method: Method) -> &'static str {
    match method {
        Method::PutCreate | Method::PutIfMatch | Method::PutStream => "put",
        Method::Get | Method::GetRange => "get",
        Method::Head => "head",
        Method::List => "list",
        Method::Delete => "delete",
        Method::AbortStaleUploads => "abort",
    }
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Upload => "upload",
        Purpose::Commit | Purpose::ManifestRead => "manifest",
        Purpose::Footer | Purpose::Replay => "fetch",
        Purpose::Prefetch => "prefetch",
        Purpose::Retention => "retention",
        Purpose::Verify | Purpose::Scrub => "verify",
        Purpose::Sweep => "sweep",
        Purpose::Admin => "admin",
    }
}
