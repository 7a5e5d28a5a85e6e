//! Headers, and whole frames in both directions.
//!
//! A frame is a length of four bytes, which the transport reads and this module writes, a header and one message.

use bytes::Bytes;

use crate::api::{Api, ApiKey};
use crate::codec::{DecodeError, Decoder, EncodeError, Encoder, Field, Nullable, Version, read_tagged_fields};
use crate::messages::{Request, Response};
use crate::part::Part;

#[cfg(test)]
mod tests;

/// What opens every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Any number: an unknown one is the dispatcher's to refuse.
    pub api_key: ApiKey,
    /// Any number, likewise.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header and leaves the decoder at the body. Of an unknown API it reads header version 1, whose fields
    /// every later one has too.
    pub fn decode(decoder: &mut Decoder) -> Result<RequestHeader, DecodeError> {
        let api_key = ApiKey(decoder.read_i16()?);
        let api_version = decoder.read_i16()?;
        let correlation_id = decoder.read_i32()?;
        // The client id keeps its old form in header version 2, so that a broker can read it of any request.
        let client_id = String::read_nullable(decoder, Version::classic(1))?;
        let header_version = Api::find(api_key).map_or(1, |api| api.request_header_version(api_version));
        if header_version >= 2 {
            read_tagged_fields(decoder, &mut |_, _| Ok(false))?;
        }
        Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
    }

    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.write_i16(self.api_key.0);
        encoder.write_i16(self.api_version);
        encoder.write_i32(self.correlation_id);
        self.client_id.write(encoder, Version::classic(1))?;
        let header_version = Api::find(self.api_key).map_or(1, |api| api.request_header_version(self.api_version));
        if header_version >= 2 {
            encoder.write_uvarint(0);
        }
        Ok(())
    }
}

/// A whole request frame: length, header, message.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Vec<Part>, EncodeError> {
    let header = RequestHeader {
        api_key: R::API,
        api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let mut encoder = Encoder::framed();
    header.encode(&mut encoder)?;
    request.encode(&mut encoder, version)?;
    encoder.into_frame()
}

/// A whole response frame: length, header, message.
pub fn encode_response<R: Response>(response: &R, version: i16, correlation_id: i32) -> Result<Vec<Part>, EncodeError> {
    let mut encoder = Encoder::framed();
    encoder.write_i32(correlation_id);
    if response_header_is_flexible::<R>(version) {
        encoder.write_uvarint(0);
    }
    response.encode(&mut encoder, version)?;
    encoder.into_frame()
}

/// A response frame, its length cut off already, with the correlation id that it answers.
pub fn decode_response<R: Response>(frame: Bytes, version: i16) -> Result<(i32, R), DecodeError> {
    let mut decoder = Decoder::new(frame);
    let correlation_id = decoder.read_i32()?;
    if response_header_is_flexible::<R>(version) {
        read_tagged_fields(&mut decoder, &mut |_, _| Ok(false))?;
    }
    Ok((correlation_id, R::decode(&mut decoder, version)?))
}

fn response_header_is_flexible<R: Response>(version: i16) -> bool {
    version >= R::FLEXIBLE_SINCE && <R::Request as Request>::API != ApiKey::API_VERSIONS
}
