//! Listeners and connections: bytes in, frames out, replies back in request order.
//!
//! Owns sockets, framing, pipelining and the sending of parts (`sendfile` for file ranges). Does not know what a
//! request means: a frame goes to the `Dispatch` function it was given, and a `Placed` future comes back.

#[path = "../platform/sendfile.rs"]
mod platform;

mod admission;
mod answers;
pub mod client;
mod connection;
mod frame;
mod memory;
mod request;
mod send;
mod server;
mod units;

pub use admission::{Admission, Admitted, NotAdmitted};
pub use answers::{AnswerAccount, AnswerMemory, AnswerRoom};
pub use frame::{FrameError, FrameReader};
pub use memory::RequestMemory;
pub use request::{ClientInfo, Dispatch, Placed, Reply, RequestContext};
pub use server::{Config, Error, Server};

#[cfg(test)]
mod tests;
