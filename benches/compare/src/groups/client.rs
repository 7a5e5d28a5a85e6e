//! A connection that asks one thing at a time.

use bytes::Bytes;
use stratalog_protocol::{ErrorCode, Part, Request, Response, decode_response, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Outcome;

const FRAME_BYTES_MAX: usize = 256 << 20;

pub struct Client {
    /// Buffered, so that an answer costs one system call.
    stream: BufReader<TcpStream>,
    correlation_id: i32,
}

impl Client {
    pub async fn open(bootstrap: &str) -> Outcome<Client> {
        let stream = TcpStream::connect(bootstrap).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream), correlation_id: 0 })
    }

    pub async fn ask<R>(&mut self, request: &R, version: i16) -> Outcome<R::Response>
    where
        R: Request,
        R::Response: Response,
    {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let parts = encode_request(request, version, self.correlation_id, Some("loadgen"))?;
        match parts.as_slice() {
            [Part::Bytes(frame)] => self.stream.write_all(frame).await?,
            parts => self.stream.write_all(&joined(parts)).await?,
        }
        let length = self.stream.read_i32().await?;
        let length = usize::try_from(length).ok().filter(|length| *length <= FRAME_BYTES_MAX);
        let mut answer = vec![0; length.ok_or("an answer of no sane length")?];
        self.stream.read_exact(&mut answer).await?;
        let (correlation_id, response) = decode_response(Bytes::from(answer), version)?;
        if correlation_id != self.correlation_id {
            return Err("an answer to another request".into());
        }
        Ok(response)
    }
}

fn joined(parts: &[Part]) -> Vec<u8> {
    let mut frame = Vec::new();
    for part in parts {
        if let Part::Bytes(bytes) = part {
            frame.extend_from_slice(bytes);
        }
    }
    frame
}

pub fn good(what: &str, code: ErrorCode) -> Outcome<()> {
    if code.is_none() { Ok(()) } else { Err(format!("{what} answered {code}").into()) }
}
