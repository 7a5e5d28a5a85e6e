//! From an HTTP answer to the error that says what the caller does next: the table of answers in the manifest protocol.

use super::super::StoreError;
use super::answer::Answer;
use super::settings::S3Settings;

/// Characters of a store's own words that are passed on.
const WORDS_MAX: usize = 400;

/// What was asked, as far as the meaning of an answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Safe to repeat.
    Read,
    /// Repeating is safe and ends the same.
    Delete,
    /// A part, or an upload's begin: invisible until completed.
    Part,
    /// `If-None-Match: *`.
    Create,
    /// `If-Match`.
    Swap,
    /// The end of a multipart upload.
    Complete,
}

impl Kind {
    /// Whether a request that was sent may have changed what others see, so that its outcome must be looked up.
    fn is_decisive(self) -> bool {
        matches!(self, Kind::Create | Kind::Swap | Kind::Complete)
    }
}

/// A call without an answer.
pub(super) fn unanswered(kind: Kind, key: &str, reason: String) -> StoreError {
    let key = key.to_owned();
    if kind.is_decisive() { StoreError::Ambiguous { key, reason } } else { StoreError::Unavailable { key, reason } }
}

/// What an answer says, without its XML: `SignatureDoesNotMatch: The request signature …`.
fn plain(words: &str) -> String {
    let between = |tag: &str| {
        let (_, after) = words.split_once(&format!("<{tag}>"))?;
        after.split_once(&format!("</{tag}>")).map(|(text, _)| text)
    };
    let said = match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => words.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    said.chars().take(WORDS_MAX).collect()
}

/// Nobody took the call.
fn unreachable(settings: &S3Settings, reason: &str) -> String {
    match &settings.endpoint {
        Some(endpoint) => {
            format!("nobody answers at {endpoint}: start the store, or correct stratalog.tier.s3.endpoint ({reason})")
        }
        None => format!("AWS cannot be reached: check the network and stratalog.tier.s3.region ({reason})"),
    }
}

pub(super) fn classify(kind: Kind, key: &str, settings: &S3Settings, answer: &Answer, words: &str) -> StoreError {
    let reason = plain(words);
    let refused = |next: String| StoreError::Refused { key: key.to_owned(), reason: format!("{next} ({reason})") };
    let named = || key.to_owned();
    match answer.status {
        None if answer.never_sent => StoreError::Unavailable { key: named(), reason: unreachable(settings, &reason) },
        None => unanswered(kind, key, reason),
        Some(404) if words.contains("NoSuchBucket") => {
            refused(format!("bucket '{}' does not exist: create it, or correct stratalog.tier.url", settings.bucket))
        }
        // A completed upload answers so when the first answer was lost.
        Some(404) if kind == Kind::Complete => StoreError::Ambiguous { key: named(), reason },
        Some(404) => StoreError::NotFound { key: named() },
        Some(412 | 304) if kind == Kind::Create => StoreError::AlreadyExists { key: named() },
        Some(412) => StoreError::Precondition { key: named() },
        Some(409) => unanswered(kind, key, reason),
        Some(401 | 403) => refused(format!(
            "access denied: check the access key, its secret, the clock, and its rights on bucket '{}'",
            settings.bucket
        )),
        Some(301 | 307 | 308) => refused("the bucket is elsewhere: correct the region or the endpoint".into()),
        Some(400) if words.contains("AuthorizationHeaderMalformed") => {
            refused("the region is not the bucket's: set stratalog.tier.s3.region".into())
        }
        Some(400) if words.contains("ExpiredToken") => refused("the session token has expired: renew it".into()),
        Some(416) => StoreError::WrongAnswer { key: named(), reason: "the range is past the object's end".into() },
        Some(501) => refused("the store does not know this request: it needs conditional PUT and multipart".into()),
        // Read timeouts of the store's own, throttling, and whatever 5xx is behind a proxy.
        Some(408 | 429 | 500..=599) => unanswered(kind, key, reason),
        // The body broke off after a good start.
        Some(200..=299) => unanswered(kind, key, reason),
        Some(status) => refused(format!("unexpected status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: Kind, status: Option<u16>, never_sent: bool, words: &str) -> &'static str {
        let answer = Answer { status, never_sent, checksum_confirmed: false };
        match classify(kind, "k", &S3Settings::new("bucket", ""), &answer, words) {
            StoreError::NotFound { .. } => "not found",
            StoreError::AlreadyExists { .. } => "exists",
            StoreError::Precondition { .. } => "precondition",
            StoreError::Ambiguous { .. } => "ambiguous",
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Refused { .. } => "refused",
            StoreError::WrongAnswer { .. } => "wrong",
        }
    }

    #[test]
    fn words_are_told_without_their_xml() {
        let xml = "Server returned 403:\n<?xml version=\"1.0\"?>\n<Error><Code>A</Code><Message>No.</Message></Error>";
        assert_eq!(plain(xml), "A: No.");
        assert_eq!(plain("error\n  sending"), "error sending");
    }

    #[test]
    fn the_table_of_answers() {
        let kinds = [Kind::Read, Kind::Delete, Kind::Part, Kind::Create, Kind::Swap, Kind::Complete];
        let (safe, sure) = ("unavailable", "ambiguous");
        for (status, never_sent, expected) in [
            (None, true, [safe; 6]),
            (None, false, [safe, safe, safe, sure, sure, sure]),
            (Some(503), false, [safe, safe, safe, sure, sure, sure]),
            (Some(500), false, [safe, safe, safe, sure, sure, sure]),
            (Some(409), false, [safe, safe, safe, sure, sure, sure]),
            (Some(403), false, ["refused"; 6]),
        ] {
            let got = kinds.map(|kind| error(kind, status, never_sent, ""));
            assert_eq!(got, expected, "{status:?} {never_sent}");
        }
        assert_eq!(error(Kind::Create, Some(412), false, ""), "exists");
        assert_eq!(error(Kind::Swap, Some(412), false, ""), "precondition");
        assert_eq!(error(Kind::Swap, Some(404), false, ""), "not found");
        assert_eq!(error(Kind::Complete, Some(404), false, "NoSuchUpload"), "ambiguous");
        assert_eq!(error(Kind::Swap, Some(404), false, "<Code>NoSuchBucket</Code>"), "refused");
        assert_eq!(error(Kind::Read, Some(416), false, ""), "wrong");
    }
}
