//! One integration binary: see the modules.

mod api;
mod broker;
mod cli;
mod docs;
mod groups;
mod life;
mod log;
