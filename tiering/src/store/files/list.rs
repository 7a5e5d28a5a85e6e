//! Keys in order from a tree of directories, with bounded memory and without a stat of what is not returned.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::super::ObjectInfo;
use super::disk::version;

/// Up to `limit` objects under `prefix` after `start_after`, in the byte order of whole keys.
pub(super) fn list(root: &Path, prefix: &str, start_after: &str, limit: usize) -> io::Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    let walk = Walk { root, prefix, start_after, limit };
    let top = prefix.rfind('/').map_or("", |slash| prefix.get(..=slash).unwrap_or(""));
    walk.directory(top, &mut found)?;
    Ok(found)
}

struct Walk<'a> {
    root: &'a Path,
    prefix: &'a str,
    start_after: &'a str,
    limit: usize,
}

impl Walk<'_> {
    /// `directory` is empty or ends with a slash.
    fn directory(&self, directory: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
        let mut resume = String::new();
        loop {
            let batch = match self.smallest(directory, &resume) {
                Ok(batch) => batch,
                // Never there, or gone since its parent was read.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            for name in &batch {
                let key = format!("{directory}{name}");
                if name.ends_with('/') {
                    self.directory(&key, found)?;
                } else if let Ok(metadata) = fs::metadata(self.root.join(&key)) {
                    let version = version(&metadata)?;
                    let modified_at = i64::try_from(version.modified.as_millis()).unwrap_or(i64::MAX);
                    found.push(ObjectInfo { key, bytes: metadata.len(), etag: version.etag, modified_at });
                }
                if found.len() >= self.limit {
                    return Ok(());
                }
            }
            match batch.last() {
                Some(last) if batch.len() >= self.limit => resume.clone_from(last),
                _ => return Ok(()),
            }
        }
    }

    /// The smallest `limit` names after `resume`; a directory's name carries its slash, as keys sort by it.
    fn smallest(&self, directory: &str, resume: &str) -> io::Result<Vec<String>> {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            let is_directory = entry.file_type()?.is_dir();
            let name = if is_directory { format!("{name}/") } else { name.to_owned() };
            if name.as_str() <= resume || !self.wanted(&format!("{directory}{name}"), is_directory) {
                continue;
            }
            names.insert(name, ());
            if names.len() > self.limit {
                names.pop_last();
            }
        }
        Ok(names.into_keys().collect())
    }

    fn wanted(&self, key: &str, is_directory: bool) -> bool {
        if is_directory {
            let in_prefix = key.starts_with(self.prefix) || self.prefix.starts_with(key);
            in_prefix && (key > self.start_after || self.start_after.starts_with(key))
        } else {
            key.starts_with(self.prefix) && key > self.start_after
        }
    }
}
