//! The local log, against the disk.

mod basics;
mod crash;
mod crash_disk;
mod harness;
mod kafka_tools;
mod model;
mod threads;
