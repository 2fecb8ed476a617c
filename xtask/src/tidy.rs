//! The rules of the house as checks. Each says why it exists; each has a test that it can fail.

mod files;
mod imports;
mod invariants;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Directories that hold no source of ours.
const SKIPPED_DIRS: [&str; 5] = ["target", ".git", "node_modules", "dist", "data"];

/// Endings of files that are read as text.
const TEXT_ENDINGS: [&str; 10] =
    ["rs", "md", "toml", "yml", "yaml", "sh", "proto", "ts", "tsx", "json"];

/// Something a rule has to say.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    text: String,
    grave: bool,
}

impl Finding {
    fn failure(place: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { place: place.into(), text: text.into(), grave: true }
    }

    fn warning(place: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { place: place.into(), text: text.into(), grave: false }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.grave { "error" } else { "warning" };
        write!(f, "{weight}: {}: {}", self.place, self.text)
    }
}

/// A file of the repository with its text.
#[derive(Debug)]
struct Source {
    /// Relative to the root, `/`-separated.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Test code: `tests/`, `tests.rs`, `…/tests/…`, and what follows `#[cfg(test)] mod tests {`.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.split('/').any(|part| part == "tests" || part == "sim")
    }
}

/// Checks everything and prints what it found. `false` when something must change.
pub(crate) fn run(root: &Path) -> bool {
    let mut findings = Vec::new();
    match read_sources(root) {
        Ok(sources) => {
            findings.extend(files::check(&sources));
            findings.extend(invariants::check(&sources));
        }
        Err(error) => {
            findings.push(Finding::failure(root.display().to_string(), error.to_string()))
        }
    }
    findings.extend(imports::check(root));
    for finding in &findings {
        println!("{finding}");
    }
    let failures = findings.iter().filter(|finding| finding.grave).count();
    println!("tidy: {failures} errors, {} warnings", findings.len() - failures);
    failures == 0
}

fn read_sources(root: &Path) -> io::Result<Vec<Source>> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    paths.sort();
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path);
        let name = name.to_string_lossy().replace('\\', "/");
        sources.push(Source { path: name, text: fs::read_to_string(&path)? });
    }
    Ok(sources)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED_DIRS.contains(&name.as_str()) {
            walk(&entry.path(), found)?;
        } else if kind.is_file() && is_text(&name) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| TEXT_ENDINGS.contains(&ending)) || ["test", "run"].contains(&name)
}
