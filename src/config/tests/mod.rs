//! Configuration against a list of Kafka's keys, against mistakes that beginners make, and against Kafka's rules.

mod catalog;
mod mistakes;
mod sources;
mod topics;

use super::load::{Loaded, Notice, Sources, load};
use super::{BrokerConfig, ConfigErrors};

/// Loads `lines` as a server.properties.
fn load_file(lines: &str) -> Result<Loaded, ConfigErrors> {
    let file = TemporaryFile::new(lines);
    load(&Sources { file: Some(file.path.clone()), ..Sources::default() })
}

fn load_environment(variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Sources { environment, ..Sources::default() })
}

fn load_flags(flags: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Sources { flags, ..Sources::default() })
}

fn config(loaded: Result<Loaded, ConfigErrors>) -> BrokerConfig {
    loaded.expect("valid").config
}

fn notices(loaded: &Loaded) -> Vec<&str> {
    let text = |notice| match notice {
        &Notice::Info(ref text) | &Notice::Warning(ref text) => text.as_str(),
    };
    loaded.notices.iter().map(text).collect()
}

struct TemporaryFile {
    path: std::path::PathBuf,
}

impl TemporaryFile {
    fn new(text: &str) -> TemporaryFile {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("stratalog-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("temporary file");
        TemporaryFile { path }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
