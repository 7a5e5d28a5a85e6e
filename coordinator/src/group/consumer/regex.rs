//! Regular expressions of subscriptions: RE2's syntax, matched against whole topic names in linear time.
//!
//! The engine underneath knows a syntax that is RE2's but for a few things: [`Pattern::compile`] rewrites what is only
//! RE2's (`\Q..\E`, octal escapes, braces that repeat nothing) and refuses or quotes what is only the engine's.
//! Expressions are limited in length and in what they compile to, so that a member cannot make the broker hold much.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Longer expressions are refused.
const LENGTH_MAX: usize = 32 * 1024;
/// An expression that compiles to more is refused.
const COMPILED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Groups in groups.
const NESTING_MAX: u32 = 200;
/// Classes of characters by name.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];
/// RE2's bound for `{n,m}`.
const REPEAT_MAX: u32 = 1000;

/// Topics to be matched by a group's expressions.
#[derive(Debug)]
pub(super) struct RegexJob {
    pub regexes: BTreeSet<String>,
    pub topics: Vec<Arc<str>>,
    pub version: i64,
    pub asked_ms: i64,
}

#[derive(Debug)]
pub(super) struct RegexMatches {
    pub matches: Vec<(String, Arc<BTreeSet<String>>)>,
    pub version: i64,
    pub asked_ms: i64,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Pattern(regex::Regex);

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("longer than {LENGTH_MAX} bytes")]
    TooLong,
    #[error("it compiles to more than {COMPILED_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Syntax(&'static str),
    #[error("invalid syntax")]
    Invalid,
}

impl Pattern {
    pub fn compile(expression: &str) -> Result<Pattern, PatternError> {
        if expression.len() > LENGTH_MAX {
            return Err(PatternError::TooLong);
        }
        let rewritten = Rewriter::new(expression).rewrite()?;
        let whole = format!(r"\A(?:{rewritten})\z");
        let built = regex::RegexBuilder::new(&whole).size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX).build();
        match built {
            Ok(regex) => Ok(Pattern(regex)),
            Err(regex::Error::CompiledTooBig(_)) => Err(PatternError::TooLarge),
            Err(_) => Err(PatternError::Invalid),
        }
    }

    /// Whether the whole of `topic` matches.
    pub fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic)
    }
}

/// Goes through an expression once, writing it in the engine's syntax.
struct Rewriter<'a> {
    rest: &'a str,
    out: String,
    /// Something stands before the cursor that can be repeated.
    repeatable: bool,
    groups: u32,
    names: BTreeSet<&'a str>,
}

impl<'a> Rewriter<'a> {
    fn new(expression: &'a str) -> Rewriter<'a> {
        Rewriter {
            rest: expression,
            out: String::with_capacity(expression.len() + 8),
            repeatable: false,
            groups: 0,
            names: BTreeSet::new(),
        }
    }

    fn rewrite(mut self) -> Result<String, PatternError> {
        while let Some(first) = self.rest.chars().next() {
            match first {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' if self.groups == 0 => return Err(PatternError::Syntax("unexpected )")),
                ')' => {
                    self.groups -= 1;
                    self.copy(1);
                    self.repeatable = true;
                }
                '|' => {
                    self.copy(1);
                    self.repeatable = false;
                }
                '*' | '+' | '?' => self.repetition(1)?,
                '{' => match counted_repetition(self.rest) {
                    Some((length, min, max)) => {
                        if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
                            return Err(PatternError::Syntax("invalid repeat count"));
                        }
                        self.repetition(length)?;
                    }
                    None => self.literal(first),
                },
                '^' | '$' => {
                    self.copy(1);
                    self.repeatable = true;
                }
                '.' => {
                    self.copy(1);
                    self.repeatable = true;
                }
                other => self.literal(other),
            }
        }
        if self.groups > 0 {
            return Err(PatternError::Syntax("missing closing )"));
        }
        Ok(self.out)
    }

    /// Copies so many bytes as they are.
    fn copy(&mut self, length: usize) {
        if let Some((head, tail)) = self.rest.split_at_checked(length) {
            self.out.push_str(head);
            self.rest = tail;
        } else {
            self.out.push_str(self.rest);
            self.rest = "";
        }
    }

    fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or("");
    }

    /// A character that stands for itself.
    fn literal(&mut self, character: char) {
        self.push_quoted(character);
        self.skip(character.len_utf8());
        self.repeatable = true;
    }

    fn push_quoted(&mut self, character: char) {
        let mut buffer = [0u8; 4];
        self.out.push_str(&regex::escape(character.encode_utf8(&mut buffer)));
    }

    fn repetition(&mut self, length: usize) -> Result<(), PatternError> {
        if !self.repeatable {
            return Err(PatternError::Syntax("missing argument to repetition operator"));
        }
        self.copy(length);
        if self.rest.starts_with('?') {
            self.copy(1);
        }
        let again = match self.rest.chars().next() {
            Some('*' | '+' | '?') => true,
            Some('{') => counted_repetition(self.rest).is_some(),
            _ => false,
        };
        if again { Err(PatternError::Syntax("invalid nested repetition operator")) } else { Ok(()) }
    }

    /// `(`, or `(?` with flags or a name.
    fn open(&mut self) -> Result<(), PatternError> {
        self.groups += 1;
        self.repeatable = false;
        if !self.rest.starts_with("(?") {
            self.copy(1);
            return Ok(());
        }
        let inner = self.rest.get(2..).unwrap_or("");
        let name = inner.strip_prefix("P<").or_else(|| inner.strip_prefix('<'));
        if let Some(name) = name {
            let end = name.find('>').ok_or(PatternError::Syntax("invalid named capture"))?;
            let word = name.get(..end).unwrap_or("");
            if word.is_empty() || !word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(PatternError::Syntax("invalid named capture"));
            }
            if !self.names.insert(word) {
                return Err(PatternError::Syntax("duplicate capture group name"));
            }
            // Names are of no use here, and the engine's rules for them are others.
            self.out.push('(');
            let length = self.rest.len() - name.len() + end + 1;
            self.skip(length);
            return Ok(());
        }
        let end = inner.find([':', ')']).ok_or(PatternError::Syntax("missing closing )"))?;
        let flags = inner.get(..end).unwrap_or("");
        let (on, off) = flags.split_once('-').unwrap_or((flags, "i"));
        let known = |flags: &str| flags.chars().all(|flag| "imsU".contains(flag));
        if !known(on) || !known(off) || off.is_empty() {
            return Err(PatternError::Syntax("invalid or unsupported Perl syntax"));
        }
        if inner.get(end..).is_some_and(|rest| rest.starts_with(')')) {
            self.groups -= 1;
            if flags.is_empty() {
                return Err(PatternError::Syntax("missing argument to repetition operator"));
            }
        }
        self.copy(2 + end + 1);
        Ok(())
    }

    /// After a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), PatternError> {
        let Some(kind) = self.rest.get(1..).and_then(|rest| rest.chars().next()) else {
            return Err(PatternError::Syntax("trailing backslash at end of expression"));
        };
        match kind {
            'Q' if !in_class => {
                self.skip(2);
                let (quoted, after) = match self.rest.split_once(r"\E") {
                    Some((quoted, after)) => (quoted, after),
                    None => (self.rest, ""),
                };
                for character in quoted.chars() {
                    self.push_quoted(character);
                }
                self.repeatable |= !quoted.is_empty();
                self.rest = after;
                return Ok(());
            }
            'A' | 'z' | 'b' | 'B' if !in_class => {
                // RE2's word boundary is of ASCII words.
                match kind {
                    'b' => self.out.push_str(r"(?-u:\b)"),
                    'B' => return self.not_word_boundary(),
                    _ => self.out.push_str(if kind == 'A' { r"\A" } else { r"\z" }),
                }
                self.skip(2);
            }
            'd' => self.replace(r"[0-9]", "0-9", in_class),
            'w' => self.replace(r"[0-9A-Za-z_]", "0-9A-Za-z_", in_class),
            's' => self.replace(r"[\t\n\x0C\r ]", r"\t\n\x0C\r ", in_class),
            'D' => self.replace(r"[^0-9]", r"[^0-9]", in_class),
            'W' => self.replace(r"[^0-9A-Za-z_]", r"[^0-9A-Za-z_]", in_class),
            'S' => self.replace(r"[^\t\n\x0C\r ]", r"[^\t\n\x0C\r ]", in_class),
            'p' | 'P' => self.property()?,
            _ => {
                let character = self.escaped()?;
                self.push_quoted(character);
            }
        }
        self.repeatable = true;
        Ok(())
    }

    fn not_word_boundary(&mut self) -> Result<(), PatternError> {
        // Topic names are ASCII, where both notions agree; the engine wants Unicode's here.
        self.copy(2);
        self.repeatable = true;
        Ok(())
    }

    fn replace(&mut self, alone: &str, within: &str, in_class: bool) {
        self.out.push_str(if in_class { within } else { alone });
        self.skip(2);
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`.
    fn property(&mut self) -> Result<(), PatternError> {
        const INVALID: PatternError = PatternError::Syntax("invalid character class range");
        let after = self.rest.get(2..).unwrap_or("");
        if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').ok_or(INVALID)?;
            let name = inner.get(..end).unwrap_or("");
            let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(INVALID);
            }
            let negated = negated != self.rest.starts_with(r"\P");
            if name == "Any" {
                self.out.push_str(if negated { r"\P{any}" } else { r"\p{any}" });
            } else {
                self.out.push_str(if negated { r"\P{" } else { r"\p{" });
                self.out.push_str(name);
                self.out.push('}');
            }
            self.skip(3 + end + 1);
            return Ok(());
        }
        match after.chars().next() {
            Some(letter) if letter.is_ascii_alphabetic() => {
                self.copy(3);
                Ok(())
            }
            _ => Err(INVALID),
        }
    }

    /// A backslash and what follows, where they stand for one character.
    fn escaped(&mut self) -> Result<char, PatternError> {
        const INVALID: PatternError = PatternError::Syntax("invalid escape sequence");
        let after = self.rest.get(1..).unwrap_or("");
        let (character, length) = match after.chars().next().ok_or(INVALID)? {
            'x' => hexadecimal(after.get(1..).unwrap_or("")).map(|(value, length)| (value, length + 1)),
            first @ '0'..='7' => octal(first, after),
            'a' => Some((7, 1)),
            'f' => Some((12, 1)),
            'n' => Some((10, 1)),
            'r' => Some((13, 1)),
            't' => Some((9, 1)),
            'v' => Some((11, 1)),
            // A mark of ASCII, and no letter or digit, stands for itself.
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some((u32::from(other), 1)),
            _ => None,
        }
        .ok_or(INVALID)?;
        self.skip(1 + length);
        char::from_u32(character).ok_or(INVALID)
    }

    /// `[...]`: the engine's set operations and nested classes do not exist in RE2.
    fn class(&mut self) -> Result<(), PatternError> {
        self.copy(1);
        if self.rest.starts_with('^') {
            self.copy(1);
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some(named) = self.rest.strip_prefix("[:")
                && let Some((name, _)) = named.split_once(":]")
            {
                if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err(PatternError::Syntax("invalid character class range"));
                }
                self.copy(name.len() + 4);
            } else if self.rest.starts_with('\\')
                && self.rest.get(1..).is_some_and(|rest| rest.starts_with(['d', 'D', 'w', 'W', 's', 'S', 'p', 'P']))
            {
                self.escape(true)?;
            } else {
                self.range()?;
            }
        }
        self.copy(1);
        self.repeatable = true;
        Ok(())
    }

    /// A character of a class, or two with a dash between them.
    fn range(&mut self) -> Result<(), PatternError> {
        let low = self.class_character()?;
        let mut high = low;
        if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.class_character()?;
        }
        if high < low {
            return Err(PatternError::Syntax("invalid character class range"));
        }
        self.out.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)));
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, PatternError> {
        let next = self.rest.chars().next().ok_or(PatternError::Syntax("missing closing ]"))?;
        if next == '\\' {
            return self.escaped();
        }
        self.skip(next.len_utf8());
        Ok(next)
    }
}

/// `7F`, `{10FFFF}`: the value, and how long it is.
fn hexadecimal(text: &str) -> Option<(u32, usize)> {
    let (digits, length) = match text.strip_prefix('{') {
        Some(inner) => {
            let end = inner.find('}')?;
            (inner.get(..end)?, end + 2)
        }
        None => (text.get(..2)?, 2),
    };
    // The parser of numbers takes a sign; an expression has none.
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok().filter(|_| plain)?;
    Some((value, length))
}

/// `0`, `012`, `123`: up to three digits; `1` to `7` alone would be a reference to a group, which there is not.
fn octal(first: char, text: &str) -> Option<(u32, usize)> {
    let length = text.bytes().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
    if first != '0' && length < 2 {
        return None;
    }
    Some((u32::from_str_radix(text.get(..length)?, 8).ok()?, length))
}

/// The length, least and most of a `{n}`, `{n,}` or `{n,m}` at the start. Anything else in braces is plain text.
fn counted_repetition(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find('}')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match inner.get(..end)?.split_once(',') {
        None => {
            let exactly = number(inner.get(..end)?)?;
            (exactly, Some(exactly))
        }
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((end + 2, min, max))
}

#[cfg(test)]
mod tests;
