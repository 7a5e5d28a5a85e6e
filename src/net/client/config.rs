//! Where the cluster is, and how long to wait for it.

use std::fmt;
use std::time::Duration;

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Tried in order.
    pub bootstrap: Vec<Address>,
    pub client_id: String,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
}

impl ClientConfig {
    pub fn new(bootstrap: Vec<Address>) -> ClientConfig {
        ClientConfig {
            bootstrap,
            client_id: "stratalog".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// `host:port`, separated by commas; a host alone means port 9092.
pub fn parse_bootstrap(text: &str) -> Result<Vec<Address>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let addresses: Vec<Address> = parts.map(parse_address).collect::<Result<_, _>>()?;
    if addresses.is_empty() { Err("give host:port, for example 127.0.0.1:9092".to_owned()) } else { Ok(addresses) }
}

fn parse_address(text: &str) -> Result<Address, String> {
    const DEFAULT_PORT: u16 = 9092;
    // Copied from a listeners= line: the name in front says nothing to a client.
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| format!("{text}: a bracket is not closed"))?;
        (host, rest.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| format!("{text}: {port} is no port from 1 to 65535"))?,
        None => DEFAULT_PORT,
    };
    if host.is_empty() {
        return Err(format!("{text}: the host is missing"));
    }
    Ok(Address { host: host.to_owned(), port })
}
