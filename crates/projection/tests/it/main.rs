//! The projections against models of a few lines, on disks that fail, and held to the laws.

mod crash;
mod damage;
mod laws;
mod model;
mod search;
mod store;
mod world;
