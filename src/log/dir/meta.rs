//! `meta.properties`: whose directory this is. Version 1, as KRaft writes it.
//!
//! A directory that has partitions had one: where it is gone the cluster's id comes from elsewhere, or the directory is
//! refused. A new id would make strangers of the clients, and of what is in the tier.

use std::collections::BTreeMap;
use std::path::Path;

use stratalog_types::TopicId;

use super::checkpoints::holds_segments;
use crate::log::checkpoint;
use crate::log::error::Error;
use crate::log::names;
use crate::platform::disk::Disk;

pub struct Meta {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: String,
}

/// Marks a directory that has neither an identity nor partitions, before it gets one.
pub fn note_if_new(disk: &Disk, directory: &Path) -> Result<(), Error> {
    let meta = directory.join(names::META_PROPERTIES);
    if meta.try_exists().map_err(Error::io("look for", &meta))? {
        return Ok(());
    }
    if holds_segments(directory)? {
        return Ok(());
    }
    checkpoint::replace(disk, &directory.join(names::NEW_DIRECTORY), "")
}

/// An error: the directory has partitions, and does not say whose.
pub fn check_not_lost(directory: &Path) -> Result<(), Error> {
    let path = directory.join(names::META_PROPERTIES);
    if !path.try_exists().map_err(Error::io("look for", &path))? && holds_segments(directory)? {
        return Err(Error::IdentityLost { path });
    }
    Ok(())
}

/// Reads the identity of a directory, or gives it one. What is asked for must be what is there.
pub fn read_or_create(disk: &Disk, directory: &Path, node_id: i32, cluster_id: Option<&str>) -> Result<Meta, Error> {
    let path = directory.join(names::META_PROPERTIES);
    let Some(mut properties) = checkpoint::read_properties(&path)? else {
        match (cluster_id, check_not_lost(directory)) {
            (_, Ok(())) => {}
            (Some(cluster_id), Err(Error::IdentityLost { .. })) => tracing::warn!(
                path = %path.display(), cluster_id, node_id,
                "the file is missing beside partitions: the directory is taken for this cluster's, and it is written anew"
            ),
            (_, Err(error)) => return Err(error),
        }
        let meta =
            Meta { cluster_id: cluster_id.map_or_else(random_id, str::to_owned), node_id, directory_id: random_id() };
        write(disk, &path, &meta)?;
        return Ok(meta);
    };
    if properties.get("version").is_some_and(|version| version != "1") {
        return Err(Error::invalid(&path, "version is not 1: the directory was written by another release"));
    }
    let found_cluster = properties.remove("cluster.id").ok_or_else(|| Error::invalid(&path, "no cluster.id"))?;
    let found_node = properties.remove("node.id").ok_or_else(|| Error::invalid(&path, "no node.id"))?;
    let wrong = |key, found: &str, wanted: String| Error::WrongOwner {
        path: directory.to_owned(),
        key,
        found: found.to_owned(),
        wanted,
    };
    if let Some(wanted) = cluster_id.filter(|wanted| **wanted != found_cluster) {
        return Err(wrong("cluster.id", &found_cluster, wanted.to_owned()));
    }
    if found_node != node_id.to_string() {
        return Err(wrong("node.id", &found_node, node_id.to_string()));
    }
    // A directory of a Kafka before 3.7 has none.
    let Some(directory_id) = properties.remove("directory.id") else {
        let meta = Meta { cluster_id: found_cluster, node_id, directory_id: random_id() };
        write(disk, &path, &meta)?;
        return Ok(meta);
    };
    Ok(Meta { cluster_id: found_cluster, node_id, directory_id })
}

fn write(disk: &Disk, path: &Path, meta: &Meta) -> Result<(), Error> {
    let properties = BTreeMap::from([
        ("cluster.id".to_owned(), meta.cluster_id.clone()),
        ("directory.id".to_owned(), meta.directory_id.clone()),
        ("node.id".to_owned(), meta.node_id.to_string()),
        ("version".to_owned(), "1".to_owned()),
    ]);
    checkpoint::write_properties(disk, path, &properties)
}

/// Kafka's ids are all of one form: 128 random bits, 22 characters.
fn random_id() -> String {
    TopicId::random().to_string()
}
