//! Against the engine of Apache Kafka 4.3.1 (RE2/J 1.8): `golden.txt` has an expression a line, then what of [`TEXTS`]
//! it matches (`!EMPTY` is the empty one), or that it is invalid, or that it matches nothing.

use super::{Pattern, PatternError};

const GOLDEN: &str = include_str!("golden.txt");

const TEXTS: [&str; 38] = [
    "",
    "a",
    "b",
    "ab",
    "aa",
    "aaa",
    "abc",
    "ABC",
    "foo",
    "bar",
    "a.b",
    "axb",
    "0",
    "42",
    "my-topic_12",
    "test.x",
    "A",
    "a{",
    "a{1",
    "a{,3}",
    "-",
    "_",
    "c",
    "]",
    "&",
    "~",
    "foo bar",
    "ac",
    "bc",
    "{",
    "}",
    "a]",
    "{a}",
    "a{b}",
    "b]",
    "a{1,b}",
    "y",
    "o",
];

#[test]
fn expressions_mean_what_they_mean_to_kafka() {
    let mut wrong = Vec::new();
    for line in GOLDEN.lines() {
        let (expression, expected) = line.split_once('\t').expect("a tab");
        let pattern = Pattern::compile(expression);
        let matched = pattern.map(|pattern| TEXTS.into_iter().filter(|text| pattern.matches(text)).collect::<Vec<_>>());
        let found = match &matched {
            Err(_) => "!INVALID".to_owned(),
            Ok(texts) if texts.is_empty() => "!NONE".to_owned(),
            Ok(texts) => {
                texts.iter().map(|text| if text.is_empty() { "!EMPTY" } else { text }).collect::<Vec<_>>().join("\t")
            }
        };
        if found != expected {
            wrong.push(format!("{expression}: {matched:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn expressions_are_bounded() {
    assert_eq!(Pattern::compile(&"a".repeat(40_000)).err(), Some(PatternError::TooLong));
    assert!(Pattern::compile("(((a{100}){100}){100}){100}").is_err());
    assert!(Pattern::compile(&"(".repeat(10_000)).is_err());
    assert!(Pattern::compile(&format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000))).is_err());
}

#[test]
fn matching_takes_linear_time() {
    // A backtracking engine would not come back from this.
    let pattern = Pattern::compile("(a*)*(a*)*(a*)*b").expect("it compiles");
    assert!(!pattern.matches(&"a".repeat(249)));
}
