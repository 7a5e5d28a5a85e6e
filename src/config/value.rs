//! Values by type, read as Kafka reads them: trimmed, decimal, lists separated by commas.

use std::fmt;

use super::key::Kind;

/// A parsed value. Int, Short and Long share a variant: the key's kind bounds the number.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

impl Value {
    /// `text` as a value of `kind`, or what is wrong with it in Kafka's words.
    pub fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        match kind {
            Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err("Expected value to be either true or false".to_owned()),
            Kind::Int => integer(trimmed, "INT", i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Short => integer(trimmed, "SHORT", i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Long => integer(trimmed, "LONG", i64::MIN, i64::MAX),
            Kind::Double => trimmed.parse().map(Value::Double).map_err(|_| "Not a number of type DOUBLE".to_owned()),
            Kind::String | Kind::Class => Ok(Value::Text(trimmed.to_owned())),
            Kind::Password => Ok(Value::Text(text.to_owned())),
            Kind::List if trimmed.is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(trimmed.split(',').map(|part| part.trim().to_owned()).collect())),
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Boolean(value) = self { Some(*value) } else { None }
    }

    pub fn as_integer(&self) -> Option<i64> {
        if let Value::Integer(value) = self { Some(*value) } else { None }
    }

    pub fn as_double(&self) -> Option<f64> {
        if let Value::Double(value) = self { Some(*value) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(value) = self { Some(value) } else { None }
    }

    pub fn as_list(&self) -> Option<&[String]> {
        if let Value::List(value) = self { Some(value) } else { None }
    }
}

/// As DescribeConfigs prints it: lists joined by commas, doubles as Java prints them.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Double(value) if *value == f64::MAX => f.write_str("1.7976931348623157E308"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::Text(value) => f.write_str(value),
            Value::List(value) => f.write_str(&value.join(",")),
        }
    }
}

fn integer(text: &str, kind: &str, least: i64, most: i64) -> Result<Value, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    match digits.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(Value::Integer(number)),
        _ => Err(format!("Not a number of type {kind}{}", unit_hint(text))),
    }
}

/// `1GB` or `7d` where a plain number stands in Kafka: say so.
fn unit_hint(text: &str) -> &'static str {
    let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    let ends_with_letter = text.ends_with(|c: char| c.is_ascii_alphabetic());
    if starts_with_digit && ends_with_letter { " (write the plain number, without a unit)" } else { "" }
}
