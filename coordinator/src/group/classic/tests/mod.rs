//! Scenarios by hand, and random histories against what members may see.

mod model;
mod planting;
mod scenarios;
mod shard;
