//! What beginners get wrong: each message names the key, what was given, and what to do.

use super::{load_environment, load_file, load_flags, notices};

/// The message for a file must contain all of `parts`.
fn refuses(lines: &str, parts: &[&str]) {
    let error = load_file(lines).map(|loaded| loaded.notices).expect_err(lines).to_string();
    for part in parts {
        assert!(error.contains(part), "{lines:?}\n gave: {error}\n wanted: {part}");
    }
}

#[test]
fn a_typo_in_a_key() {
    refuses("log.retension.hours=1", &["log.retension.hours", "line 1", "did you mean log.retention.hours?"]);
    let error = load_environment(&[("KAFKA_LOG_RETENSION_HOURS", "1")]).map(|_| ()).expect_err("typo").to_string();
    assert!(error.contains("did you mean KAFKA_LOG_RETENTION_HOURS?"), "{error}");
}

#[test]
fn a_topic_key_in_the_brokers_file() {
    refuses("retention.ms=1000", &["it is a topic's key", "the broker's is log.retention.ms"]);
    refuses("remote.storage.enable=true", &["topic's key", "stratalog topic alter"]);
}

#[test]
fn a_unit_behind_a_number() {
    refuses("log.segment.bytes=64MB", &["Invalid value 64MB", "log.segment.bytes", "without a unit"]);
    refuses("log.retention.ms=7d", &["Invalid value 7d", "Not a number of type LONG"]);
}

#[test]
fn a_number_out_of_range() {
    refuses(
        "queued.max.request.bytes=1000",
        &["Invalid value 1000", "queued.max.request.bytes", "at least socket.request.max.bytes=104857600"],
    );
    refuses("num.partitions=0", &["Invalid value 0 for configuration num.partitions: Value must be at least 1"]);
    refuses("log.segment.bytes=1024", &["Value must be at least 1048576"]);
    refuses("compression.gzip.level=10", &["between 1 and 9"]);
    refuses("log.segment.bytes=3000000000", &["Not a number of type INT"]);
}

#[test]
fn a_word_that_is_not_a_boolean() {
    refuses("auto.create.topics.enable=yes", &["Invalid value yes", "either true or false"]);
}

#[test]
fn a_word_that_is_not_in_the_list() {
    refuses("compression.type=gz", &["uncompressed, zstd, lz4, snappy, gzip, producer"]);
    refuses("log.cleanup.policy=retain", &["compact, delete"]);
}

#[test]
fn a_listener_without_a_name() {
    refuses("listeners=127.0.0.1:9092", &["listeners", "NAME://host:port"]);
}

#[test]
fn a_listener_without_a_port() {
    refuses("listeners=PLAINTEXT://localhost", &["NAME://host:port"]);
    refuses("listeners=PLAINTEXT://localhost:90920", &["90920 is no port"]);
}

#[test]
fn two_listeners_of_one_name_or_one_address() {
    refuses("listeners=PLAINTEXT://:9092,PLAINTEXT://:9093", &["PLAINTEXT stands twice"]);
    refuses(
        "listeners=A://h:9092,B://h:9092\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT",
        &["A and B have the same address"],
    );
}

#[test]
fn a_listener_that_the_map_lacks() {
    refuses("listeners=DOCKER://:9092", &["add DOCKER:PLAINTEXT to listener.security.protocol.map"]);
}

#[test]
fn an_advertised_address_nobody_can_reach() {
    refuses("advertised.listeners=PLAINTEXT://0.0.0.0:9092", &["host name or address that they reach this machine by"]);
    refuses("advertised.listeners=OUTSIDE://example.org:9092", &["not among the listeners"]);
}

#[test]
fn security_that_is_not_served() {
    refuses("listeners=SASL_SSL://:9092", &["SASL_SSL is not served yet"]);
    refuses(
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        &["authorizer", "refused"],
    );
    refuses("ssl.client.auth=required", &["TLS is not served yet"]);
    refuses("super.users=User:admin", &["authorizer"]);
    refuses("sasl.enabled.mechanisms=PLAIN", &["SASL is not served yet", "remove the line"]);
    // What says the default is harmless.
    load_file("ssl.client.auth=none\nsecurity.inter.broker.protocol=PLAINTEXT\nauthorizer.class.name=")
        .expect("defaults");
}

#[test]
fn a_cluster_of_three() {
    refuses("controller.quorum.voters=1@a:9093,2@b:9093,3@c:9093", &["several nodes", "refused"]);
    refuses("process.roles=controller", &["only a controller"]);
}

#[test]
fn two_numbers_for_one_broker() {
    refuses("node.id=1\nbroker.id=2", &["node.id=1 and broker.id=2"]);
}

#[test]
fn a_tier_without_a_store() {
    refuses("remote.log.storage.system.enable=true", &["stratalog.tier.url", "s3://bucket/prefix"]);
}

#[test]
fn a_store_that_is_no_url() {
    refuses("stratalog.tier.url=my-bucket", &["file:///directory", "s3://bucket/prefix"]);
    refuses("stratalog.tier.url=s3://My_Bucket", &["lower-case"]);
    refuses("stratalog.tier.url=file://relative", &["must be absolute"]);
    refuses("stratalog.tier.url=s3://bkt\nstratalog.tier.s3.endpoint=minio:9000", &["http://"]);
}

#[test]
fn half_of_the_credentials() {
    refuses("stratalog.tier.url=s3://bucket\nstratalog.tier.s3.access.key.id=a", &["secret.access.key too"]);
}

#[test]
fn a_file_that_is_not_there_or_not_text() {
    let sources = crate::config::Sources { file: Some("/nowhere/server.properties".into()), ..Default::default() };
    let error = crate::config::load(&sources).map(|_| ()).expect_err("missing").to_string();
    assert!(error.contains("/nowhere/server.properties"), "{error}");
    refuses("=value", &["line 1", "key=value"]);
}

#[test]
fn a_key_twice_is_told() {
    let loaded = load_file("num.partitions=1\nnum.partitions=2").expect("valid");
    assert!(notices(&loaded).iter().any(|text| text.contains("num.partitions stands twice")));
    assert_eq!(loaded.config.topics.partitions, 2);
}

#[test]
fn all_mistakes_are_told_at_once() {
    refuses("num.partitions=x\nnum.io.thread=3\nlog.segment.bytes=1", &["num.partitions", "num.io.threads", "1048576"]);
}

#[test]
fn zookeeper_and_jvm_keys_are_told_and_passed_over() {
    let loaded = load_file("zookeeper.connect=localhost:2181\nnum.io.threads=16\ncordoned.log.dirs=x").expect("valid");
    let told = notices(&loaded);
    assert!(told.iter().any(|text| text.contains("zookeeper.connect") && text.contains("no effect here")));
    assert!(told.iter().any(|text| text.contains("num.io.threads") && text.contains("no effect here")));
    assert!(told.iter().any(|text| text.contains("cordoned.log.dirs") && text.contains("multiple log directories")));
}

#[test]
fn addresses_of_old() {
    refuses("host.name=localhost", &["listeners and advertised.listeners"]);
}

#[test]
fn an_admin_address_without_a_port() {
    let error = load_flags(&[("stratalog.admin.listener", "localhost")]).map(|_| ()).expect_err("no port").to_string();
    assert!(error.contains("host:port"), "{error}");
}

#[test]
fn plain_text_beyond_the_machine_and_lost_syncs_warn() {
    let loaded = load_file("listeners=PLAINTEXT://:9092\nlog.flush.interval.messages=10000").expect("valid");
    let told = notices(&loaded);
    assert!(told.iter().any(|text| text.contains("serves plain text beyond this machine")));
    assert!(told.iter().any(|text| text.contains("may be lost")));
}

#[test]
fn what_has_no_effect_yet_is_told_and_what_would_mislead_is_refused() {
    let loaded = load_file(
        "queued.max.requests=10\nlog.preallocate=true\nlog.cleanup.policy=compact\n\
         log.cleaner.enable=false\n\
         socket.send.buffer.bytes=4096",
    )
    .expect("valid");
    let told = notices(&loaded);
    let tells = |parts: [&str; 2]| told.iter().any(|text| parts.iter().all(|part| text.contains(part)));
    assert!(tells(["queued.max.requests", "no effect yet"]), "{told:?}");
    assert!(tells(["log.preallocate", "no effect here"]), "{told:?}");
    assert!(tells(["log.cleaner.enable=false", "nothing is compacted"]), "{told:?}");
    assert_eq!(loaded.config.network.socket_send_buffer_bytes, Some(4096));
    assert_eq!(loaded.config.network.socket_receive_buffer_bytes, None);
    refuses("stratalog.tier.s3.session.token=t", &["stratalog.tier.s3.session.token", "AWS_"]);
    refuses(
        "stratalog.tier.url=s3://bucket\nstratalog.tier.s3.endpoint=http://127.0.0.1:9000\n\
         stratalog.tier.s3.allow.http=false",
        &["stratalog.tier.s3.allow.http", "https://"],
    );
}
