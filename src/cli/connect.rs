//! How client commands find the cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::CliError;
use crate::config::parse_properties;
use crate::net::client::{Client, ClientConfig, parse_bootstrap};

const DEFAULT_BOOTSTRAP: &str = "127.0.0.1:9092";

#[derive(Debug, Clone, Default, Args)]
pub struct ConnectArguments {
    /// Brokers to ask first, as host:port, separated by commas [default: 127.0.0.1:9092]
    #[arg(short = 'b', long, value_name = "LIST")]
    pub bootstrap_server: Option<String>,
    /// A properties file of client settings, as Kafka's tools take it
    #[arg(long, value_name = "FILE")]
    pub command_config: Option<PathBuf>,
}

impl ConnectArguments {
    /// A client; connects at its first call.
    pub fn client(&self) -> Result<Client, CliError> {
        self.config().map(Client::new)
    }

    fn config(&self) -> Result<ClientConfig, CliError> {
        let properties = self.command_config.as_deref().map_or_else(|| Ok(Vec::new()), read)?;
        let find = |name: &str| {
            let last = properties.iter().rev().find(|(key, _)| key == name);
            last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        refuse_security(&properties)?;
        let bootstrap = self.bootstrap_server.as_deref().or(find("bootstrap.servers")).unwrap_or(DEFAULT_BOOTSTRAP);
        let addresses =
            parse_bootstrap(bootstrap).map_err(|problem| CliError::usage(format!("--bootstrap-server {problem}")))?;
        let mut config = ClientConfig::new(addresses);
        if let Some(client_id) = find("client.id") {
            config.client_id = client_id.to_owned();
        }
        let millis = |name: &str, default: Duration| match find(name).map(str::parse) {
            Some(Ok(millis)) => Ok(Duration::from_millis(millis)),
            Some(Err(_)) => Err(CliError::usage(format!("{name} must be a number of milliseconds"))),
            None => Ok(default),
        };
        config.request_timeout = millis("request.timeout.ms", config.request_timeout)?;
        config.connect_timeout = millis("socket.connection.setup.timeout.ms", config.connect_timeout)?;
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::usage(format!("cannot read --command-config {shown}: {error}")))?;
    let properties = parse_properties(&text, &shown).map_err(|error| CliError::usage(error.to_string()))?;
    Ok(properties.into_iter().map(|property| (property.key, property.value)).collect())
}

/// What would send a password or expect a certificate must not be passed over.
fn refuse_security(properties: &[(String, String)]) -> Result<(), CliError> {
    for (key, value) in properties {
        let plain = key == "security.protocol" && value.eq_ignore_ascii_case("PLAINTEXT");
        let secure = key == "security.protocol" || key.starts_with("sasl.") || key.starts_with("ssl.");
        if secure && !plain && !value.is_empty() {
            let message = format!("{key} is not served by this client yet: only PLAINTEXT is; remove the line");
            return Err(CliError::usage(message));
        }
    }
    Ok(())
}
