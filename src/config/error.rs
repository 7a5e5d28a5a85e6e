//! What can be wrong with a configuration. Each message names the key, the value given and what is accepted.

/// Why a configuration, or a change of one, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The wording that Kafka's tools show, so that scripts which look for it keep working.
    #[error("Invalid value {value} for configuration {key}: {problem}")]
    Invalid { key: String, value: String, problem: String },
    #[error("unknown configuration {key} (from {origin}){hint}")]
    Unknown { key: String, origin: String, hint: String },
    #[error("Unknown topic config name: {key}{hint}")]
    UnknownTopicKey { key: String, hint: String },
    #[error("{key}={value} is refused: {why}; remove the line to go on without it")]
    Refused { key: String, value: String, why: String },
    /// Values that are fine alone and wrong together.
    #[error("{problem}")]
    Conflict { problem: String },
    #[error("cannot read the configuration file {path}: {problem}")]
    File { path: String, problem: String },
    #[error("{path} line {line}: {problem}")]
    Syntax { path: String, line: usize, problem: String },
}

impl ConfigError {
    pub(super) fn invalid(key: &str, value: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { key: key.to_owned(), value: value.to_owned(), problem: problem.into() }
    }

    pub(super) fn conflict(problem: impl Into<String>) -> ConfigError {
        ConfigError::Conflict { problem: problem.into() }
    }
}

/// All that is wrong with the sources at once, so that a file is put right in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
