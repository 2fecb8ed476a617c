//! The store against a ten-line model, on disks that fail, and held to its laws.

mod crash;
mod damage;
mod full;
mod laws;
mod threads;
mod world;
