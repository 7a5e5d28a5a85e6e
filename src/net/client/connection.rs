//! One connection: frames, versions, correlation ids.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use stratalog_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, Request, Response};
use stratalog_protocol::part::Part;
use stratalog_protocol::{ApiKey, ErrorCode, decode_response, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::Address;
use super::error::Error;

/// The largest answer that is read: above every fetch that we ask for.
const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// What is set aside for an answer before its bytes are there.
const RESPONSE_BYTES_FIRST: usize = 1 << 20;

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    client_id: String,
    correlation_id: i32,
    /// The broker's versions, least and most, by API.
    versions: BTreeMap<ApiKey, (i16, i16)>,
}

impl Connection {
    /// Connects and asks for the broker's versions.
    pub async fn open(address: &Address, client_id: &str) -> Result<Connection, Error> {
        let shown = address.to_string();
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|source| Error::Connect { address: shown.clone(), source })?;
        let io = |source| Error::Io { address: shown.clone(), source };
        stream.set_nodelay(true).map_err(io)?;
        let mut connection = Connection {
            stream,
            address: shown,
            client_id: client_id.to_owned(),
            correlation_id: 0,
            versions: BTreeMap::new(),
        };
        connection.negotiate().await?;
        Ok(connection)
    }

    /// Sends a request in the newest version that both sides have, and reads its answer.
    pub async fn call<R: Request<Response: Response>>(
        &mut self,
        request: &R,
        version_max: i16,
    ) -> Result<R::Response, Error> {
        let version = self.version::<R>(version_max)?;
        let sent = self.send(request, version).await?;
        let frame = self.read_frame().await?;
        let (correlation_id, response) = decode_response(frame, version)?;
        self.check_correlation(sent, correlation_id)?;
        Ok(response)
    }

    /// Sends a request that the broker does not answer.
    pub async fn send_only<R: Request>(&mut self, request: &R, version_max: i16) -> Result<(), Error> {
        let version = self.version::<R>(version_max)?;
        self.send(request, version).await.map(|_| ())
    }

    /// The newest version of an API that both sides have.
    fn version<R: Request>(&self, version_max: i16) -> Result<i16, Error> {
        let Some((least, most)) = self.versions.get(&R::API) else { return Err(Error::unsupported(R::API)) };
        let version = (*most).min(R::MAX_VERSION).min(version_max);
        if version < (*least).max(R::MIN_VERSION) { Err(Error::unsupported(R::API)) } else { Ok(version) }
    }

    /// ApiVersions in version 3; a broker that does not know it answers in version 0 (KIP-511).
    async fn negotiate(&mut self) -> Result<(), Error> {
        const VERSION: i16 = 3;
        let request = ApiVersionsRequest {
            client_software_name: "stratalog".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let sent = self.send(&request, VERSION).await?;
        let frame = self.read_frame().await?;
        let code = frame.get(4..6).map(|bytes| bytes.iter().fold(0_i16, |code, byte| (code << 8) | i16::from(*byte)));
        let old = code == Some(ErrorCode::UNSUPPORTED_VERSION.0);
        let version = if old { 0 } else { VERSION };
        let not_kafka = |problem: String| Error::NotKafka { address: self.address.clone(), problem };
        let (correlation_id, response): (i32, ApiVersionsResponse) =
            decode_response(frame, version).map_err(|error| not_kafka(error.to_string()))?;
        self.check_correlation(sent, correlation_id)?;
        if !old && response.error_code != ErrorCode::NONE {
            return Err(Error::broker("ApiVersions", response.error_code, None));
        }
        self.versions = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(())
    }

    async fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<i32, Error> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let parts = encode_request(request, version, self.correlation_id, Some(&self.client_id))?;
        for part in parts {
            // A client's request is memory throughout.
            if let Part::Bytes(bytes) = part {
                self.stream.write_all(&bytes).await.map_err(|source| self.lost(source))?;
            }
        }
        Ok(self.correlation_id)
    }

    async fn read_frame(&mut self) -> Result<Bytes, Error> {
        let length = self.stream.read_i32().await.map_err(|source| self.lost(source))?;
        let length = match usize::try_from(length) {
            Ok(length) if length <= RESPONSE_BYTES_MAX => length,
            _ => {
                let problem = format!("a frame of {length} bytes was announced");
                return Err(Error::NotKafka { address: self.address.clone(), problem });
            }
        };
        let mut frame = BytesMut::with_capacity(length.min(RESPONSE_BYTES_FIRST));
        while frame.len() < length {
            let left = (length - frame.len()) as u64;
            let read = (&mut self.stream).take(left).read_buf(&mut frame).await;
            match read {
                Ok(0) => return Err(Error::ConnectionLost { address: self.address.clone() }),
                Ok(_) => {}
                Err(source) => return Err(self.lost(source)),
            }
        }
        Ok(frame.freeze())
    }

    fn check_correlation(&self, sent: i32, received: i32) -> Result<(), Error> {
        if sent == received {
            return Ok(());
        }
        let problem = format!("request {sent} was answered as {received}");
        Err(Error::NotKafka { address: self.address.clone(), problem })
    }

    fn lost(&self, source: std::io::Error) -> Error {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let address = self.address.clone();
        if [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&source.kind()) {
            Error::ConnectionLost { address }
        } else {
            Error::Io { address, source }
        }
    }
}
