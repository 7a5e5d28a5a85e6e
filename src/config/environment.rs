//! `KAFKA_*` variables, by the rule of the Apache image: prefix off, lower case, `_` is a dot, `__` an underscore, `___`
//! a dash. `STRATALOG_*` names our own keys in the same way.

/// What a variable is to the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// A broker key; a `KAFKA_*` one also turns Kafka's defaults on.
    Key {
        name: String,
        kafka: bool,
    },
    /// Read by the JVM's scripts, or put there by Kubernetes for a service called kafka.
    NotAKey,
    ClusterId,
    Foreign,
}

/// Variables that begin with `KAFKA_` and mean the JVM, its scripts or its logging.
const EXCLUDED: &[&str] = &[
    "KAFKA_CLASSPATH",
    "KAFKA_DEBUG",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPT",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_CMD_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
];

/// Classifies the variable `name` with `value`.
pub fn classify(name: &str, value: &str) -> Variable {
    if name == "CLUSTER_ID" {
        return Variable::ClusterId;
    }
    if EXCLUDED.contains(&name) || is_kubernetes_service(name, value) {
        return Variable::NotAKey;
    }
    if let Some(rest) = name.strip_prefix("KAFKA_") {
        return Variable::Key { name: key_of(rest), kafka: true };
    }
    match name.strip_prefix("STRATALOG_") {
        Some(rest) => Variable::Key { name: format!("stratalog.{}", key_of(rest)), kafka: false },
        None => Variable::Foreign,
    }
}

/// The variable that sets `key`: the rule backwards, for messages.
pub fn variable_of(key: &str) -> String {
    let mut name = String::from("KAFKA_");
    for c in key.chars() {
        match c {
            '.' => name.push('_'),
            '_' => name.push_str("__"),
            '-' => name.push_str("___"),
            _ => name.push(c.to_ascii_uppercase()),
        }
    }
    name
}

fn key_of(rest: &str) -> String {
    rest.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_")
}

/// `KAFKA_PORT=tcp://10.0.0.1:9092` and its kin appear in every pod beside a service named kafka.
fn is_kubernetes_service(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix("KAFKA_") else { return false };
    let numbered = rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()));
    let linked = rest == "PORT" && ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme));
    linked || numbered || rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || rest.starts_with("SERVICE_PORT_")
}
