//! One integration binary: see the modules.

mod api;
mod broker;
mod cli;
mod docs;
mod groups;
mod isolation;
mod life;
mod log;
