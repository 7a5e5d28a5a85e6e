//! From the sources at start to a `BrokerConfig`: a properties file, then `KAFKA_*`, then flags, the later the stronger.
//!
//! All that is wrong is found in one go. What is accepted without effect is told in one line each.

use std::path::{Path, PathBuf};

use super::broker::BrokerConfig;
use super::catalog::{self, AIVEN_PREFIX, AivenStance};
use super::environment::{self, Variable};
use super::error::{ConfigError, ConfigErrors};
use super::key::{Key, Stance};
use super::properties;
use super::settings::{Mode, Origin, Settings};
use super::suggest;

/// Where a broker's configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`: a `server.properties`.
    pub file: Option<PathBuf>,
    /// The process's environment, whole; what does not concern us is passed over.
    pub environment: Vec<(String, String)>,
    /// `--set key=value` and the flags that stand for keys, in order.
    pub flags: Vec<(String, String)>,
}

/// Something to tell at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    Info(String),
    Warning(String),
}

/// A configuration that holds, and what is to be told about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: BrokerConfig,
    pub notices: Vec<Notice>,
}

/// Reads the sources. Reads files; changes nothing.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let entries = gather(sources).map_err(|error| ConfigErrors(vec![error]))?;
    let mut loader = Loader { settings: Settings::defaults(entries.mode), notices: Vec::new(), errors: Vec::new() };
    for entry in &entries.entries {
        loader.take(entry);
    }
    if loader.errors.is_empty() {
        loader.aiven(&entries.entries);
    }
    if !loader.errors.is_empty() {
        return Err(ConfigErrors(loader.errors));
    }
    let mut notices = loader.notices;
    let config = BrokerConfig::resolve(loader.settings, &mut notices).map_err(ConfigErrors)?;
    Ok(Loaded { config, notices })
}

struct Entry {
    name: String,
    value: String,
    origin: Origin,
}

struct Entries {
    mode: Mode,
    entries: Vec<Entry>,
}

fn gather(sources: &Sources) -> Result<Entries, ConfigError> {
    let mut entries = Vec::new();
    let mut mode = Mode::Bare;
    if let Some(path) = &sources.file {
        mode = Mode::Kafka;
        read_file(path, &mut entries)?;
    }
    let mut environment = sources.environment.clone();
    environment.sort();
    for (variable, value) in environment {
        match environment::classify(&variable, &value) {
            Variable::Key { name, kafka } => {
                if kafka {
                    mode = Mode::Kafka;
                }
                entries.push(Entry { name, value, origin: Origin::Variable(variable) });
            }
            Variable::ClusterId => {
                let name = "stratalog.cluster.id".to_owned();
                entries.push(Entry { name, value, origin: Origin::Variable(variable) });
            }
            Variable::NotAKey | Variable::Foreign => {}
        }
    }
    for (name, value) in &sources.flags {
        entries.push(Entry { name: name.clone(), value: value.clone(), origin: Origin::Flag });
    }
    Ok(Entries { mode, entries })
}

fn read_file(path: &Path, entries: &mut Vec<Entry>) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|error| ConfigError::File { path: shown.clone(), problem: error.to_string() })?;
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::File {
        path: shown.clone(),
        problem: "it is not UTF-8 text: give the broker's server.properties".to_owned(),
    })?;
    for property in properties::parse(&text, &shown)? {
        let origin = Origin::File { path: shown.clone(), line: property.line };
        entries.push(Entry { name: property.key, value: property.value, origin });
    }
    Ok(())
}

struct Loader {
    settings: Settings,
    notices: Vec<Notice>,
    errors: Vec<ConfigError>,
}

impl Loader {
    fn take(&mut self, entry: &Entry) {
        let Some(key) = catalog::broker_key(&entry.name) else { return self.take_unlisted(entry) };
        // An empty variable or line unsets a key that has no default: compose files are full of them.
        if key.default.is_none() && entry.value.trim().is_empty() {
            return;
        }
        if let (Origin::File { line: later, path }, Some(Origin::File { line: earlier, .. })) =
            (&entry.origin, self.settings.origin(key.name))
        {
            let text = format!("{} stands twice in {path}, lines {earlier} and {later}: the later one holds", key.name);
            self.notices.push(Notice::Warning(text));
        }
        if let Err(error) = self.settings.give(key, &entry.value, entry.origin.clone()) {
            self.errors.push(error);
            return;
        }
        self.judge(key.name, &entry.value, &entry.origin, key.stance, Some(key));
    }

    fn take_unlisted(&mut self, entry: &Entry) {
        if entry.name.starts_with(AIVEN_PREFIX) {
            return;
        }
        if let Some(stance) = catalog::past(&entry.name) {
            return self.judge(&entry.name, &entry.value, &entry.origin, stance, None);
        }
        let hint = match &entry.origin {
            Origin::Variable(_) => suggest::broker_hint(&entry.name, environment::variable_of),
            _ => suggest::broker_hint(&entry.name, str::to_owned),
        };
        let origin = entry.origin.to_string();
        self.errors.push(ConfigError::Unknown { key: entry.name.clone(), origin, hint });
    }

    fn judge(&mut self, name: &str, value: &str, origin: &Origin, stance: Stance, key: Option<&Key>) {
        let harmless = key.is_some_and(|key| key.is_default(value));
        match stance {
            Stance::Honoured => {}
            _ if harmless => {}
            Stance::NoEffect => self.notices.push(Notice::Info(format!("{name} ({origin}) has no effect here"))),
            Stance::Pending(feature) => {
                self.notices.push(Notice::Info(format!("{name} ({origin}) has no effect yet: {feature} will read it")));
            }
            Stance::Refused(why) => {
                let value = if key.is_some_and(Key::is_sensitive) { "[hidden]" } else { value.trim() };
                self.errors.push(ConfigError::Refused {
                    key: name.to_owned(),
                    value: value.to_owned(),
                    why: format!("{why} ({origin})"),
                });
            }
        }
    }

    /// Aiven's names below the storage plugin's prefix. Our own names, where given, are stronger.
    fn aiven(&mut self, entries: &[Entry]) {
        let (mut bucket, mut prefix, mut directory) = (None, String::new(), None);
        for entry in entries {
            let Some(name) = entry.name.strip_prefix(AIVEN_PREFIX) else { continue };
            let value = entry.value.trim();
            match catalog::aiven_stance(name) {
                AivenStance::Alias(ours) => self.alias(ours, entry),
                AivenStance::Bucket => bucket = Some(entry),
                AivenStance::Prefix => prefix = value.to_owned(),
                AivenStance::Directory => directory = Some(entry),
                AivenStance::Backend if value.contains("S3Storage") || value.contains("FileSystemStorage") => {}
                AivenStance::Backend => self.errors.push(ConfigError::invalid(
                    &entry.name,
                    value,
                    "only the S3 and the file-system back end are served; name the store with stratalog.tier.url",
                )),
                AivenStance::Refused(_) if value == "false" && name.starts_with("encryption") => {}
                AivenStance::Refused(_) if value == "true" && name.contains("certificate") => {}
                AivenStance::Refused(why) => self.errors.push(ConfigError::Refused {
                    key: entry.name.clone(),
                    value: value.to_owned(),
                    why: why.to_owned(),
                }),
                AivenStance::NoEffect => {
                    self.notices.push(Notice::Info(format!("{} ({}) has no effect here", entry.name, entry.origin)));
                }
            }
        }
        if self.settings.is_set("stratalog.tier.url") {
            return;
        }
        let url = match (bucket, directory) {
            (Some(bucket), _) => Some((format!("s3://{}/{prefix}", bucket.value.trim()), bucket)),
            (None, Some(root)) => Some((format!("file://{}", root.value.trim()), root)),
            (None, None) => None,
        };
        if let Some((url, entry)) = url {
            self.give_alias("stratalog.tier.url", url.trim_end_matches('/'), entry);
        }
    }

    fn alias(&mut self, ours: &'static str, entry: &Entry) {
        if !self.settings.is_set(ours) {
            self.give_alias(ours, &entry.value, entry);
        }
    }

    fn give_alias(&mut self, ours: &'static str, value: &str, entry: &Entry) {
        let Some(key) = catalog::broker_key(ours) else { return };
        self.notices.push(Notice::Info(format!("{} ({}) is read as {ours}", entry.name, entry.origin)));
        if let Err(error) = self.settings.give(key, value, entry.origin.clone()) {
            self.errors.push(error);
        }
    }
}
