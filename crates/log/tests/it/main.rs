//! The log as its users see it, on the disk that loses, tears and refuses.

mod damage;
mod golden;
mod model;
mod sealing;
mod support;
mod writing;
