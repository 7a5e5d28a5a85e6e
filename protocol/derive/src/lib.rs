//! Derives a Kafka message's encoder, decoder, schema and default from its struct.
//!
//! ```ignore
//! #[derive(Debug, Clone, PartialEq, Message)]
//! #[message(versions = 4..=18, flexible = 12)]
//! pub struct FetchRequest {
//!     #[field(tag = 0, since = 12, default = None)]
//!     pub cluster_id: Option<String>,
//!     #[field(until = 14, default = -1)]
//!     pub replica_id: i32,
//!     pub topics: Vec<FetchTopic>,
//! }
//! ```
//!
//! Fields stand in wire order. `#[message]` marks a message with versions of its own; without it the struct is a part
//! of one. Of a field:
//!
//! * `since`, `until`: first and last version that has it; every version of the message unless given.
//! * `nullable`: for an `Option`, the first version in which it may be null; since ever unless given.
//! * `not_null`: for `Records`, which may be null otherwise.
//! * `tag`: it is the tagged field of this number. It is written when it differs from its default.
//! * `default`: any expression. An `Option` without it starts as `Some` of an empty value, as Kafka's own does.
//! * `ignorable`: a version that lacks it drops its value; otherwise a value beside the default is an error.
//! * `secret`: `Debug` shows its length alone. The struct then has its `Debug` from here and derives none.
//!
//! The output is calls of generic functions of `stratalog_protocol::codec`, a line per field: hundreds of messages
//! must not cost a minute of compilation.

mod expand;
mod parse;

use proc_macro::TokenStream;

#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    match parse::structure(&input) {
        Ok(structure) => expand::expand(&structure).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
