//! `key=value` arguments, each with a type where it is read.

use std::collections::HashMap;
use std::str::FromStr;

use crate::Outcome;

pub struct Arguments(HashMap<String, String>);

impl Arguments {
    pub fn parse(given: impl Iterator<Item = String>) -> Outcome<Self> {
        given
            .map(|argument| match argument.split_once('=') {
                Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
                None => Err(format!("{argument} is not key=value").into()),
            })
            .collect::<Outcome<_>>()
            .map(Self)
    }

    pub fn text(&self, key: &str) -> Outcome<&str> {
        self.0.get(key).map(String::as_str).ok_or_else(|| format!("{key}= is missing").into())
    }

    pub fn number<T: FromStr>(&self, key: &str) -> Outcome<T> {
        let value = self.text(key)?;
        value.parse().map_err(|_| format!("{key}={value} is not a number").into())
    }

    pub fn number_or<T: FromStr>(&self, key: &str, default: T) -> Outcome<T> {
        if self.0.contains_key(key) { self.number(key) } else { Ok(default) }
    }
}
