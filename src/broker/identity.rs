//! Which cluster and node the broker is of: `meta.properties` says it in each data directory, and so do the metadata.
//!
//! Where one is lost it comes from the others: a broker that took a new id beside its partitions would be another cluster
//! to its clients and to its bucket. The metadata are read before a directory gets an id; that they are of the same cluster
//! is written down, or checked, when both are open.

use std::fs;
use std::path::Path;

use stratalog_tiering::manifest::local_copy::{Found, LocalCopy};

use super::{HOLDER, METADATA_FILE, StartError};
use crate::config::BrokerConfig;
use crate::log::{self, LogDirs};
use crate::metadata::{Identity, Metadata};

/// The cluster that the data directories must be of: what is configured; or, where none of them says it any more, what the
/// metadata say.
pub fn recall(config: &BrokerConfig) -> Result<Option<String>, StartError> {
    let file = config.metadata_dir.join(METADATA_FILE);
    let is_there = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    if !is_there || LogDirs::cluster_of_any(&config.data_dirs).is_some() {
        return Ok(config.cluster_id.clone());
    }
    let found = LogDirs::while_locked(&config.data_dirs, HOLDER, || Metadata::identity_in(&file))??;
    let Some(found) = found else { return Ok(config.cluster_id.clone()) };
    check(config, &found, config.cluster_id.as_deref().unwrap_or(&found.cluster_id))?;
    Ok(Some(found.cluster_id))
}

/// The metadata must be of the same cluster and node as the data directories; from the first time on they say so.
pub fn compare(config: &BrokerConfig, metadata: &Metadata, cluster_id: &str) -> Result<(), StartError> {
    let ours = Identity { cluster_id: cluster_id.to_owned(), node_id: config.node_id };
    check(config, &metadata.identity_or(&ours)?, cluster_id)
}

fn check(config: &BrokerConfig, found: &Identity, cluster_id: &str) -> Result<(), StartError> {
    let refuse = |key, found: String, wanted: String| {
        let path = config.metadata_dir.join(METADATA_FILE).display().to_string();
        Err(StartError::OtherIdentity { path, key, found, wanted })
    };
    if found.cluster_id != cluster_id {
        return refuse("cluster.id", found.cluster_id.clone(), cluster_id.to_owned());
    }
    if found.node_id != config.node_id {
        return refuse("node.id", found.node_id.to_string(), config.node_id.to_string());
    }
    Ok(())
}

/// Where nothing else knows the cluster, a partition's copy of the tier's manifest may.
pub fn name_cluster(error: log::Error) -> StartError {
    if let log::Error::IdentityLost { path } = &error
        && let Some(cluster_id) = path.parent().and_then(cluster_of_manifests)
    {
        return StartError::IdentityLost { path: path.display().to_string(), cluster_id };
    }
    error.into()
}

fn cluster_of_manifests(directory: &Path) -> Option<String> {
    let copies = fs::read_dir(directory).ok()?.flatten().map(|entry| LocalCopy::in_directory(entry.path()).open());
    copies.into_iter().find_map(|copy| match copy {
        Ok(Found::Head(head)) => Some(head.identity.cluster_id),
        Ok(Found::None | Found::Damaged) | Err(_) => None,
    })
}
