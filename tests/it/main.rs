//! One integration binary: see the modules.

mod broker;
mod log;
