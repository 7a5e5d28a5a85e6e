//! One integration binary: see the modules.

mod api;
mod broker;
mod log;
