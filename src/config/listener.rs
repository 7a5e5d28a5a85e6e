//! `listeners` and `advertised.listeners`: `NAME://host:port`, separated by commas.

use std::fmt;

use super::error::ConfigError;

/// One address to serve or to tell clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Upper case.
    pub name: String,
    /// Empty means every interface.
    pub host: String,
    pub port: u16,
}

impl Listener {
    /// What to bind: an empty host is every IPv4 interface.
    pub fn bind_address(&self) -> String {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        join(host, self.port)
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>().map(|address| address.is_loopback());
        address.unwrap_or_else(|_| self.host.eq_ignore_ascii_case("localhost"))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, join(&self.host, self.port))
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The listeners of `list`, the value of `key`.
pub fn parse(key: &str, list: &[String]) -> Result<Vec<Listener>, ConfigError> {
    let mut listeners: Vec<Listener> = Vec::new();
    for text in list {
        let listener = parse_one(text).map_err(|problem| ConfigError::invalid(key, text, problem))?;
        if listeners.iter().any(|earlier| earlier.name == listener.name) {
            let problem = format!("listener name {} stands twice; give each listener its own name", listener.name);
            return Err(ConfigError::invalid(key, &list.join(","), problem));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn parse_one(text: &str) -> Result<Listener, String> {
    const FORM: &str = "write NAME://host:port, for example PLAINTEXT://127.0.0.1:9092";
    let (name, address) = text.split_once("://").ok_or(FORM)?;
    let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if !named {
        return Err(FORM.to_owned());
    }
    let (host, port) = split_address(address).ok_or(FORM)?;
    let port = port.parse::<u16>().map_err(|_| format!("{port} is no port: give a number from 0 to 65535"))?;
    Ok(Listener { name: name.to_uppercase(), host, port })
}

/// Host and port of `host:port`, `[v6]:port` or `:port`.
pub fn split_address(address: &str) -> Option<(String, &str)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return Some((host.to_owned(), rest.strip_prefix(':')?));
    }
    let (host, port) = address.rsplit_once(':')?;
    let plain = !host.contains(':') && !host.contains('/') && !host.contains(char::is_whitespace);
    plain.then(|| (host.to_owned(), port))
}
