use super::*;
use crate::config::Mode;

/// Applies one alteration to `before` (`k=v` pairs) and shows what becomes of it, or the refusal.
fn altered(scope: Scope, before: &[(&str, &str)], name: &str, operation: i8, value: Option<&str>) -> String {
    let before = before.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let alteration = Alteration { name: name.to_owned(), operation, value: value.map(str::to_owned) };
    let settings = Settings::defaults(Mode::Kafka);
    match Change::Alter(vec![alteration]).apply(&before, scope, &settings) {
        Ok(after) => after.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
        Err(refusal) => format!("{}: {}", refusal.code, refusal.message.unwrap_or_default()),
    }
}

#[test]
fn lists_begin_with_what_holds() {
    let policy = |before: &[(&str, &str)], operation, value| {
        altered(Scope::Topic, before, "cleanup.policy", operation, Some(value))
    };
    assert_eq!(policy(&[], APPEND, "compact"), "cleanup.policy=delete,compact");
    assert_eq!(policy(&[], SUBTRACT, "delete"), "cleanup.policy=");
    assert_eq!(policy(&[("cleanup.policy", "")], APPEND, " compact , delete "), "cleanup.policy=compact,delete");
    assert_eq!(policy(&[("cleanup.policy", "compact")], SUBTRACT, "nope"), "cleanup.policy=compact");
    let of_broker = altered(Scope::Broker, &[], "log.cleanup.policy", APPEND, Some("compact"));
    assert_eq!(of_broker, "log.cleanup.policy=delete,compact");
}

#[test]
fn other_keys_stay() {
    let before = [("retention.ms", "5"), ("segment.ms", "6")];
    assert_eq!(altered(Scope::Topic, &before, "retention.ms", DELETE, None), "segment.ms=6");
    assert_eq!(altered(Scope::Topic, &before, "zip", DELETE, None), "retention.ms=5 segment.ms=6");
    assert_eq!(altered(Scope::Topic, &before, "retention.ms", SET, Some("7")), "retention.ms=7 segment.ms=6");
}

#[test]
fn scopes_know_their_keys() {
    let refused = |scope, name| altered(scope, &[], name, SET, Some("1"));
    assert_eq!(
        refused(Scope::Topic, "log.retention.ms"),
        "INVALID_CONFIG: Unknown topic config name: log.retention.ms"
    );
    assert_eq!(refused(Scope::Broker, "retention.ms"), "INVALID_CONFIG: Unknown config name: retention.ms");
}
