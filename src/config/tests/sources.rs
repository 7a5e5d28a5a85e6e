//! Which source wins, which defaults hold, what the environment means.

use std::path::{Path, PathBuf};

use super::{TemporaryFile, config, load_environment, load_file, load_flags, notices};
use crate::config::describe::{describe_broker, describe_broker_defaults};
use crate::config::environment::{Variable, classify, variable_of};
use crate::config::{Mode, Source, Sources, TierLocation, load, parse_properties};

#[test]
fn bare_defaults() {
    let bare = config(load_flags(&[]));
    assert_eq!(bare.settings.mode(), Mode::Bare);
    assert_eq!(bare.listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(bare.data_dirs, [PathBuf::from("./stratalog-data")]);
    let tier = bare.tier.expect("tier");
    assert!(tier.default_enable);
    assert_eq!(tier.location, TierLocation::Directory { path: "./stratalog-data/tier".into(), embedded: true });
    assert_eq!(bare.settings.integer("log.segment.bytes"), Some(64 << 20));
    assert_eq!(bare.settings.integer("log.local.retention.ms"), Some(86_400_000));
    assert_eq!(bare.settings.integer("log.roll.ms"), Some(3_600_000));
    assert_eq!(bare.node_id, 1);
    assert_eq!(bare.admin_listener.as_deref(), Some("127.0.0.1:9644"));
}

#[test]
fn a_flag_keeps_the_bare_defaults() {
    let bare = config(load_flags(&[("log.dirs", "/data"), ("listeners", "PLAINTEXT://127.0.0.1:0")]));
    assert_eq!(bare.settings.mode(), Mode::Bare);
    let tier = bare.tier.expect("tier");
    assert_eq!(tier.location, TierLocation::Directory { path: "/data/tier".into(), embedded: true });
    let old_name = config(load_flags(&[("log.dir", "/data")]));
    assert_eq!(old_name.data_dirs, [PathBuf::from("/data")]);
}

#[test]
fn a_file_or_a_variable_brings_kafkas_defaults() {
    for kafka in [config(load_file("")), config(load_environment(&[("KAFKA_NODE_ID", "1")]))] {
        assert_eq!(kafka.settings.mode(), Mode::Kafka);
        assert!(kafka.tier.is_none());
        assert_eq!(kafka.listeners[0].to_string(), "PLAINTEXT://:9092");
        assert_eq!(kafka.data_dirs, [PathBuf::from("/tmp/kafka-logs")]);
        assert_eq!(kafka.settings.integer("log.segment.bytes"), Some(1 << 30));
        assert_eq!(kafka.settings.integer("log.flush.interval.messages"), Some(1));
    }
    let foreign =
        config(load_environment(&[("PATH", "/bin"), ("KAFKA_HEAP_OPTS", "-Xmx1g"), ("STRATALOG_TIER_URL", "")]));
    assert_eq!(foreign.settings.mode(), Mode::Bare);
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file = TemporaryFile::new("num.partitions=2\nmessage.max.bytes=2\nfetch.max.bytes=2000\n");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let sources = Sources {
        file: Some(file.path.clone()),
        environment: vec![pair("KAFKA_NUM_PARTITIONS", "3"), pair("KAFKA_MESSAGE_MAX_BYTES", "3")],
        flags: vec![pair("num.partitions", "4"), pair("num.partitions", "5")],
    };
    let loaded = load(&sources).expect("valid").config;
    assert_eq!(loaded.settings.integer("num.partitions"), Some(5));
    assert_eq!(loaded.settings.integer("message.max.bytes"), Some(3));
    assert_eq!(loaded.settings.integer("fetch.max.bytes"), Some(2000));
}

#[test]
fn the_apache_images_rule() {
    let key = |name: &str, value: &str| match classify(name, value) {
        Variable::Key { name, .. } => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(key("KAFKA_LOG_RETENTION_MS", "1"), "log.retention.ms");
    assert_eq!(key("KAFKA_A__B___C_D", "1"), "a_b-c.d");
    assert_eq!(key("STRATALOG_TIER_URL", "x"), "stratalog.tier.url");
    assert_eq!(variable_of("a_b-c.d"), "KAFKA_A__B___C_D");
    for excluded in ["KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_JMX_OPTS", "KAFKA_VERSION", "KAFKA_OPTS"] {
        assert_eq!(classify(excluded, "x"), Variable::NotAKey, "{excluded}");
    }
    for (name, value) in [
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ("KAFKA_SERVICE_HOST", "10.0.0.1"),
        ("KAFKA_SERVICE_PORT", "9092"),
    ] {
        assert_eq!(classify(name, value), Variable::NotAKey, "{name}");
    }
    assert_eq!(classify("CLUSTER_ID", "x"), Variable::ClusterId);
    assert_eq!(classify("HOME", "/"), Variable::Foreign);
}

/// The variables of the Apache image's single-node compose example.
#[test]
fn the_single_node_compose_file_starts() {
    let loaded = load_environment(&[
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT"),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@broker:29093"),
        ("KAFKA_LISTENERS", "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092"),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
        ("KAFKA_LOG_DIRS", "/tmp/kraft-combined-logs"),
    ])
    .expect("the example is valid");
    assert!(notices(&loaded).iter().any(|text| text.contains("CONTROLLER://:29093") && text.contains("not opened")));
    let names: Vec<&str> = loaded.config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["PLAINTEXT_HOST", "PLAINTEXT"]);
    assert_eq!(loaded.config.advertised_listeners[1].to_string(), "PLAINTEXT://broker:19092");
    assert_eq!(loaded.config.cluster_id.as_deref(), Some("4L6g3nShT-eMCtK--X86sw"));
    assert_eq!(loaded.config.data_dir(), Path::new("/tmp/kraft-combined-logs"));
}

#[test]
fn aivens_names_are_aliases() {
    let loaded = load_file(
        "remote.log.storage.system.enable=true\n\
         remote.log.storage.manager.class.name=io.aiven.kafka.tieredstorage.RemoteStorageManager\n\
         rsm.config.storage.backend.class=io.aiven.kafka.tieredstorage.storage.s3.S3Storage\n\
         rsm.config.storage.s3.bucket.name=history\n\
         rsm.config.key.prefix=prod/\n\
         rsm.config.storage.s3.endpoint.url=http://127.0.0.1:9000\n\
         rsm.config.storage.s3.region=eu-west-1\n\
         rsm.config.storage.aws.access.key.id=id\n\
         rsm.config.storage.aws.secret.access.key=secret\n\
         rsm.config.chunk.size=4194304\n",
    )
    .expect("valid");
    let Some(tier) = loaded.config.tier else { panic!("no tier") };
    let TierLocation::S3(s3) = tier.location else { panic!("not S3") };
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("history", "prod"));
    assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(s3.region.as_deref(), Some("eu-west-1"));
    assert!(s3.path_style && s3.allow_http && s3.credentials.is_some());
    assert!(load_file("rsm.config.encryption.enabled=true").is_err());
}

#[test]
fn our_own_tier_keys_are_stronger_than_aivens() {
    let kafka = config(load_file("stratalog.tier.url=s3://ours/p\nrsm.config.storage.s3.bucket.name=theirs\n"));
    assert_eq!(kafka.tier.expect("tier").location.to_string(), "s3://ours/p");
}

#[test]
fn the_tier_can_be_switched_off() {
    assert!(config(load_flags(&[("remote.log.storage.system.enable", "false")])).tier.is_none());
    assert!(config(load_file("stratalog.tier.url=file:///cold")).tier.is_some());
}

#[test]
fn java_properties() {
    let text = "# comment\n! comment\n a = b \nc:d\ne f\ng=h\\\n   i\nj\\:k=l\\u0041\nempty=\n\nm=x=y\n";
    let parsed = parse_properties(text, "f").expect("valid");
    let pairs: Vec<(&str, &str, usize)> =
        parsed.iter().map(|property| (property.key.as_str(), property.value.as_str(), property.line)).collect();
    let expected = [
        ("a", "b", 3),
        ("c", "d", 4),
        ("e", "f", 5),
        ("g", "hi", 6),
        ("j:k", "lA", 8),
        ("empty", "", 9),
        ("m", "x=y", 11),
    ];
    assert_eq!(pairs, expected);
    assert!(parse_properties("a=\\u00zz", "f").is_err());
    assert_eq!(parse_properties("a=b\\", "f").expect("valid")[0].value, "b");
}

#[test]
fn describe_tells_sources_and_layers() {
    let mut settings = config(load_file("log.retention.hours=2\nnum.partitions=3")).settings;
    let described = describe_broker(&settings);
    let find = |described: &[crate::config::describe::DescribedConfig], name: &str| {
        described.iter().find(|config| config.name == name).expect("known").clone()
    };
    let hours = find(&described, "log.retention.hours");
    assert_eq!((hours.value.as_deref(), hours.source, hours.read_only), (Some("2"), Source::StaticBroker, true));
    let ms = find(&described, "log.retention.ms");
    assert_eq!((ms.value.as_deref(), ms.is_default()), (None, true));
    let synonyms: Vec<_> = ms.synonyms.iter().map(|synonym| (synonym.name, synonym.source)).collect();
    assert_eq!(synonyms, [("log.retention.hours", Source::StaticBroker), ("log.retention.hours", Source::Default)]);

    let layer =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    settings
        .set_dynamic(&layer(&[("log.segment.bytes", "2097152")]), &layer(&[("log.segment.bytes", "4194304")]))
        .expect("dynamic");
    let segment = find(&describe_broker(&settings), "log.segment.bytes");
    assert_eq!((segment.value.as_deref(), segment.source), (Some("2097152"), Source::DynamicBroker));
    let sources: Vec<_> = segment.synonyms.iter().map(|synonym| synonym.source).collect();
    assert_eq!(sources, [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::Default]);
    let defaults = describe_broker_defaults(&settings);
    assert_eq!(defaults.len(), 1);
    assert_eq!(defaults[0].value.as_deref(), Some("4194304"));
    assert!(settings.set_dynamic(&layer(&[("log.dirs", "/x")]), &layer(&[])).is_err());
}
