//! The local log, against the disk.

mod basics;
mod harness;
