//! Exit codes and the words that come with them.

use super::{fail, run, succeed, text};

#[test]
fn help_and_version_succeed() {
    assert!(succeed(&["--help"], "").contains("object storage"));
    assert!(succeed(&["--version"], "").starts_with("stratalog "));
    for command in ["broker", "topic", "produce", "consume", "group", "tier", "log", "demo"] {
        succeed(&[command, "--help"], "");
    }
}

#[test]
fn wrong_usage_is_2() {
    fail(&["nonsense"], 2);
    fail(&["topic", "create"], 2);
    assert!(fail(&["consume", "t", "-o", "yesterday"], 2).contains("@-1h"));
    assert!(fail(&["topic", "delete", "t"], 2).contains("--yes"));
    assert!(fail(&["topic", "alter", "t"], 2).contains("--set"));
    assert!(fail(&["topic", "list", "-b", "h:port"], 2).contains("port is no port"));
    assert!(fail(&["topic", "list", "--command-config", "/nowhere"], 2).contains("/nowhere"));
}

#[test]
fn a_configuration_that_does_not_hold_is_2_and_tells_every_mistake() {
    let error = fail(&["--set", "log.retension.ms=1", "--set", "num.partitions=none"], 2);
    assert!(error.contains("did you mean log.retention.ms?"), "{error}");
    assert!(error.contains("Invalid value none for configuration num.partitions"), "{error}");
    assert_eq!(error.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{error}");
    let error = fail(&["broker", "--listeners", "SASL_SSL://127.0.0.1:0"], 2);
    assert!(error.contains("not served yet"), "{error}");
}

#[test]
fn nobody_there_is_1_and_names_the_next_step() {
    // A port that was free a moment ago: nothing listens on it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let address = free.to_string();
    let error = fail(&["topic", "list", "-b", &address], 1);
    assert!(error.contains(&address) && error.contains("--bootstrap-server"), "{error}");
    let error = fail(&["tier", "ls", "--admin", &address], 1);
    assert!(error.contains(&address) && error.contains("--admin"), "{error}");
    assert!(fail(&["produce", "t", "/nowhere"], 1).contains("/nowhere"));
}

#[test]
fn passwords_are_not_passed_over() {
    let file = tempfile::NamedTempFile::new().expect("file");
    std::fs::write(file.path(), "security.protocol=SASL_SSL\nsasl.jaas.config=secret\n").expect("written");
    let error = fail(&["topic", "list", "--command-config", file.path().to_str().expect("text")], 2);
    assert!(error.contains("security.protocol") && !error.contains("secret"), "{error}");
}

#[test]
fn nothing_but_data_on_standard_output() {
    let output = run(&["nonsense"], "");
    assert_eq!(text(&output.stdout), "");
}
