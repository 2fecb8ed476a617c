//! The folds: what the log adds up to.
//!
//! A projection is a deterministic fold of the log with a checkpoint. It is handed batches and a
//! [`Storage`](annal_storage::Storage); it sees no log, no clock and no network. Every projection
//! obeys the [`laws`]. The [`index`] has files of its own; the others keep rows in the [`store`].
//!
//! [`search`] keeps to the laws but not to the trait: it is handed documents, which somebody else has
//! folded, and a directory, which is its library's.

pub mod consumers;
pub mod deletions;
pub mod draft;
mod failure;
pub mod index;
pub mod laws;
mod projection;
pub mod resources;
pub mod schema;
pub mod search;
pub mod store;
pub mod topics;
mod versions;

pub use failure::{Failure, Refuses};
pub use projection::{Opened, Order, Projection};
