//! The broker in this process, over loopback, through our own client.

mod cleaner;
mod cleaner_panics;
mod healing;
mod health;
mod identity;
mod many_partitions;
mod retention;
mod scrub;
mod tier_deletion;
mod tier_forgotten;
mod tier_lifecycle;
mod tiering;
mod times;

use std::collections::BTreeMap;
use std::path::Path;

use stratalog::broker::{self, Running};
use stratalog::config::{self, Sources};
use stratalog::net::client::{Client, ClientConfig, NewTopic, parse_bootstrap};

/// A broker on free ports with its data in `dir`; `settings` over the bare mode's.
pub async fn start(dir: &Path, settings: &[(&str, &str)]) -> Running {
    let mut flags = vec![
        ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
        ("log.dirs".to_owned(), dir.display().to_string()),
        ("stratalog.admin.listener".to_owned(), String::new()),
    ];
    flags.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let loaded = config::load(&Sources { flags, ..Sources::default() }).unwrap();
    broker::start(loaded.config).await.unwrap()
}

pub fn client(running: &Running) -> Client {
    Client::new(ClientConfig::new(parse_bootstrap(&running.address().to_string()).unwrap()))
}

pub fn topic(name: &str, configs: &[(&str, &str)]) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(1),
        replication_factor: Some(1),
        configs: configs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
    }
}
