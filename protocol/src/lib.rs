//! The Kafka wire: messages, frames, record batches, error codes.
//!
//! Owns bounded decoding and the encoding of responses as parts. Knows no socket, no disk beyond a file range it passes
//! on, and no state.

// The derived code names this crate by its own name, here as everywhere.
extern crate self as stratalog_protocol;

pub mod api;
pub mod codec;
mod error_code;
pub mod frame;
pub mod messages;
pub mod part;
pub mod records;

pub use api::{Api, ApiKey};
pub use codec::{DecodeError, Decoder, EncodeError, Encoder, Message, Records};
pub use error_code::ErrorCode;
pub use frame::{RequestHeader, decode_response, encode_request, encode_response};
pub use messages::{Request, Response};
pub use part::{FileRange, Part};
pub use stratalog_protocol_derive::Message;
