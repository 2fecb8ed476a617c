//! Search: its language, a model of it, the laws, crashes and damage, and real data.

mod crash;
mod language;
mod laws;
mod model;
mod numbers;
mod real;
mod refuse;
mod world;
