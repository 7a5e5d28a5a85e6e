//! As much HTTP as the admin address needs: one request, one answer, one connection.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::CliError;

/// The largest answer that is read: a listing of a million segments.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks `address`, a `host:port`, for `path` with `query`, and reads JSON.
pub async fn ask<T: DeserializeOwned>(
    address: &str,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<T, CliError> {
    let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let body = exchange(address, method, &target(path, query)).await?;
    serde_json::from_slice(&body)
        .map_err(|error| CliError::failed(format!("{address} did not answer as expected: {error}")))
}

async fn exchange(address: &str, method: &str, target: &str) -> Result<Vec<u8>, CliError> {
    let unreachable = |problem: String| {
        CliError::failed(format!(
            "cannot reach the broker's admin address {address}: {problem}; name it with --admin, the broker's ready line \
             has it"
        ))
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("no answer".to_owned())),
    };
    let request =
        format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| unreachable(error.to_string()))?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
    read.map_err(|error| unreachable(error.to_string()))?;
    let (status, body) = split(&answer).ok_or_else(|| unreachable("it does not speak HTTP".to_owned()))?;
    if (200..300).contains(&status) { Ok(body) } else { Err(refused(status, &body)) }
}

/// The broker's own words where it gave some.
fn refused(status: u16, body: &[u8]) -> CliError {
    let answer: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = answer.as_ref().and_then(|answer| answer.get("message")?.as_str());
    match message {
        Some(message) => CliError::failed(message),
        None => CliError::failed(format!("the broker answered {status}: {}", String::from_utf8_lossy(body).trim())),
    }
}

/// Status and body of a whole answer.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let body = answer.get(end + 4..)?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let chunked = head.lines().any(|line| {
        line.to_ascii_lowercase().strip_prefix("transfer-encoding:").is_some_and(|value| value.contains("chunked"))
    });
    Some((status, if chunked { unchunk(body)? } else { body.to_vec() }))
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(body.get(..end)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        let start = end + 2;
        out.extend_from_slice(body.get(start..start.checked_add(size)?)?);
        body = body.get(start.checked_add(size)?.checked_add(2)?..)?;
    }
}

fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (at, (name, value)) in query.iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                target.push(char::from(byte));
            } else {
                target.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_targets() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(split(plain), Some((200, b"ok".to_vec())));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3;x=y\r\n123\r\n0\r\n\r\n";
        assert_eq!(split(chunked), Some((200, b"ok123".to_vec())));
        assert_eq!(split(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), None);
        assert_eq!(split(b"\x00\x00\x00\x10garbage"), None);
        assert_eq!(target("/v1", &[("topic", "a b&c"), ("wait", "true")]), "/v1?topic=a%20b%26c&wait=true");
    }
}
