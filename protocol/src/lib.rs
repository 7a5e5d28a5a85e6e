//! The Kafka wire: messages, frames, record batches, error codes.
//!
//! Owns bounded decoding and the encoding of responses as parts. Knows no socket, no disk beyond a file range it passes
//! on, and no state.

pub mod part;
pub mod records;
