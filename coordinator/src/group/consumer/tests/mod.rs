//! Tests of one group of the consumer protocol: scenarios, and random histories with a checker.

mod migration;
mod model;
mod planting;
mod scenarios;
mod world;
