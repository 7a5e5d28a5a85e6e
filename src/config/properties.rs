//! Java's properties files: `key=value`, `key: value` or `key value`, comments after `#` or `!`, escapes, and lines
//! continued by a backslash.

use super::error::ConfigError;

/// One `key=value` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    pub key: String,
    pub value: String,
    /// From 1: where the logical line begins.
    pub line: usize,
}

/// The properties of `text` in their order; `path` is for messages.
pub fn parse(text: &str, path: &str) -> Result<Vec<Property>, ConfigError> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, first)) = lines.next() {
        let start = first.trim_start();
        if start.is_empty() || start.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = start.to_owned();
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        let problem = |problem| ConfigError::Syntax { path: path.to_owned(), line: at + 1, problem };
        let key = unescape(key).map_err(problem)?;
        let value = unescape(value).map_err(problem)?.trim_end().to_owned();
        if key.is_empty() {
            return Err(problem("a line without a key: write key=value".to_owned()));
        }
        properties.push(Property { key, value, line: at + 1 });
    }
    Ok(properties)
}

/// A line goes on when it ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The key ends at the first separator that no backslash hides.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' => return (line.get(..at).unwrap_or(line), line.get(at + 1..).unwrap_or("").trim_start()),
            _ if c.is_ascii_whitespace() => {
                let rest = line.get(at..).unwrap_or("").trim_start();
                let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
                return (line.get(..at).unwrap_or(line), value);
            }
            _ => {}
        }
    }
    (line, "")
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(|| format!("\\u{digits} is no character: write four hexadecimal digits"))?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}
