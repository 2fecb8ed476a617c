//! Published vectors, where they are at hand.

use std::path::{Path, PathBuf};

/// A directory of the shared vectors, or `None` (with a word about it) where it is not at hand.
pub(crate) fn vectors(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("ANNAL_SHARED").map_or_else(beside, PathBuf::from);
    let directory = shared.join("vectors").join(name);
    if directory.is_dir() {
        return Some(directory);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{} is missing",
        directory.display()
    );
    println!("skipped: {} is missing", directory.display());
    None
}
