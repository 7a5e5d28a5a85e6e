//! A key: its name, type, default, valid values, meaning, and what this broker does with it. Declared once, in
//! `catalog`; parsing, DescribeConfigs and the documentation derive from the declaration.

use super::error::ConfigError;
use super::value::Value;

/// The type of a value; the number is DescribeConfigs' `config_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// Which values a key accepts beyond its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Valid {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    Ratio,
    OneOf(&'static [&'static str]),
    /// As `OneOf`, in any letter case.
    OneOfNoCase(&'static [&'static str]),
    /// Each element is one of these, none twice.
    ListOf(&'static [&'static str]),
    NonEmpty,
    /// 1 to 9, or -1 for the library's own choice.
    GzipLevel,
    /// `*`, or pairs of partition and broker.
    ThrottledReplicas,
    /// `latest`, `earliest` or `by_duration:` with an ISO duration.
    ShareOffsetReset,
}

/// What this broker does with a key that somebody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    Honoured,
    /// Accepted, and one line says that it changes nothing here.
    NoEffect,
    /// Accepted, and one line says that it waits for this feature.
    Pending(&'static str),
    /// Refused at start when it differs from its default: ignoring it would weaken security or durability.
    Refused(&'static str),
}

/// One key.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// `None` is null: unset, and nothing stands in for it.
    pub default: Option<&'static str>,
    pub valid: Valid,
    /// Whether a running broker takes a new value.
    pub dynamic: bool,
    pub stance: Stance,
    pub doc: &'static str,
}

impl Key {
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// `text` as this key's value. Kafka's words where a value is refused.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let shown = if self.is_sensitive() { "[hidden]" } else { text };
        Value::parse(self.kind, text)
            .and_then(|value| self.valid.check(self.name, &value).map(|()| value))
            .map_err(|problem| ConfigError::invalid(self.name, shown, problem))
    }

    /// The default as a value. Every declared default is valid: a test goes through them all.
    pub fn default_value(&self) -> Option<Value> {
        self.default.and_then(|text| self.parse(text).ok())
    }

    /// Whether `text` says the same as the default.
    pub fn is_default(&self, text: &str) -> bool {
        match (self.parse(text), self.default_value()) {
            (Ok(value), Some(default)) => value == default,
            (Ok(Value::Text(value)), None) => value.is_empty(),
            (Ok(Value::List(value)), None) => value.is_empty(),
            _ => false,
        }
    }

    /// The accepted values in words, for help texts.
    pub fn accepted(&self) -> String {
        match self.valid {
            Valid::Any => match self.kind {
                Kind::Boolean => "true or false".to_owned(),
                Kind::Int | Kind::Short | Kind::Long => "a whole number".to_owned(),
                Kind::Double => "a number".to_owned(),
                Kind::List => "a list separated by commas".to_owned(),
                Kind::String | Kind::Class | Kind::Password => "text".to_owned(),
            },
            Valid::AtLeast(least) => format!("{least} or more"),
            Valid::Between(least, most) => format!("{least} to {most}"),
            Valid::Ratio => "0 to 1".to_owned(),
            Valid::OneOf(words) | Valid::OneOfNoCase(words) => format!("one of {}", words.join(", ")),
            Valid::ListOf(words) => format!("some of {}", words.join(", ")),
            Valid::NonEmpty => "text that is not empty".to_owned(),
            Valid::GzipLevel => "1 to 9, or -1".to_owned(),
            Valid::ThrottledReplicas => "*, or partition:broker pairs".to_owned(),
            Valid::ShareOffsetReset => "latest, earliest or by_duration:PnDTnHnMn.nS".to_owned(),
        }
    }
}

impl Valid {
    fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Valid::AtLeast(least), Value::Integer(number)) if number < least => {
                Err(format!("Value must be at least {least}"))
            }
            (Valid::Between(least, _), Value::Integer(number)) if number < least => {
                Err(format!("Value must be at least {least}"))
            }
            (Valid::Between(_, most), Value::Integer(number)) if number > most => {
                Err(format!("Value must be no more than {most}"))
            }
            (Valid::Ratio, Value::Double(number)) if *number < 0.0 => Err("Value must be at least 0".to_owned()),
            (Valid::Ratio, Value::Double(number)) if *number > 1.0 => Err("Value must be no more than 1".to_owned()),
            (Valid::OneOf(words), Value::Text(text)) if !words.contains(&text.as_str()) => {
                Err(format!("String must be one of: {}", words.join(", ")))
            }
            (Valid::OneOfNoCase(words), Value::Text(text))
                if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) =>
            {
                Err(format!("String must be one of (case insensitive): {}", words.join(", ")))
            }
            (Valid::ListOf(words), Value::List(list)) => check_list(name, words, list),
            (Valid::NonEmpty, Value::Text(text)) if text.is_empty() => Err("String must be non-empty".to_owned()),
            (Valid::GzipLevel, Value::Integer(level)) if *level != -1 && !(1..=9).contains(level) => {
                Err("Value must be between 1 and 9 or equal to -1".to_owned())
            }
            (Valid::ThrottledReplicas, Value::List(list)) => check_throttled_replicas(list),
            (Valid::ShareOffsetReset, Value::Text(text)) => check_share_offset_reset(text),
            _ => Ok(()),
        }
    }
}

fn check_list(name: &str, words: &[&str], list: &[String]) -> Result<(), String> {
    for (at, element) in list.iter().enumerate() {
        if !words.contains(&element.as_str()) {
            return Err(format!("String must be one of: {}", words.join(", ")));
        }
        if list.iter().take(at).any(|earlier| earlier == element) {
            return Err(format!("Configuration '{name}' must not name {element} twice"));
        }
    }
    Ok(())
}

fn check_throttled_replicas(list: &[String]) -> Result<(), String> {
    let pair = |text: &String| {
        text.split_once(':').is_some_and(|(partition, broker)| {
            [partition, broker].iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    let all = matches!(list, [only] if only == "*" || only.eq_ignore_ascii_case("none"));
    if all || list.iter().all(pair) {
        Ok(())
    } else {
        Err("Must be the literal '*' or a list of replicas as [partitionId]:[brokerId],...".to_owned())
    }
}

fn check_share_offset_reset(text: &str) -> Result<(), String> {
    let duration = text.strip_prefix("by_duration:").and_then(|rest| rest.strip_prefix('P'));
    let known = text == "latest" || text == "earliest";
    if known || duration.is_some_and(|rest| rest.bytes().any(|byte| byte.is_ascii_digit())) {
        Ok(())
    } else {
        Err("Must be latest, earliest or by_duration:PnDTnHnMn.nS".to_owned())
    }
}
