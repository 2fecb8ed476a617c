//! What each command does.

pub(crate) mod append;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod log_cat;
pub(crate) mod query;
pub(crate) mod rebuild;
pub(crate) mod repair;
pub(crate) mod serve;
pub(crate) mod tail;
pub(crate) mod verify;
