//! What the operating system does for us: files, and what only Linux has, each with a portable fallback.
//!
//! Owns no policy: who calls when is the caller's. Floor 0, imports nothing of the house.

pub mod disk;
mod locks;
pub mod memory;
pub mod open_files;
pub mod page_cache;
pub mod volume;

pub use locks::{lock, read_lock, try_lock, write_lock};
