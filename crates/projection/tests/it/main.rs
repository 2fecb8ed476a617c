//! The index against a ten-line model, on disks that fail, and held to the laws.

mod crash;
mod damage;
mod laws;
mod model;
mod store;
mod world;
