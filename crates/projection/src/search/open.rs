//! Opening: what is there is checked before it is believed; what is not whole is thrown away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tantivy::{
    Index, IndexReader, ReloadPolicy,
    directory::{Directory, INDEX_WRITER_LOCK, error::LockError},
    index::{SegmentComponent, SegmentMeta},
};

use super::{
    Opened, SearchError, SearchOptions,
    directory::{Files, bytes, wipe},
    schema::{self, FORMAT, Fields, Payload},
    words,
};

/// An index that can be read.
pub(super) struct OpenIndex {
    pub(super) index: Index,
    pub(super) reader: IndexReader,
    pub(super) fields: Fields,
    pub(super) folded: u64,
    pub(super) opened: Opened,
}

/// Opens the index of a directory, or begins a new one there.
pub(super) fn open(dir: &Path, options: &SearchOptions) -> Result<OpenIndex, SearchError> {
    let failed = |source| SearchError::Directory { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let files = Files::open(dir).map_err(failed)?;
    // Whoever holds the lock may be writing what looks half-written.
    let lock = files.acquire_lock(&INDEX_WRITER_LOCK);
    if let Err(LockError::LockBusy) = lock {
        return Err(SearchError::Busy { dir: dir.to_owned() });
    }
    let reason = match existing(files, dir, options) {
        Ok(open) => return Ok(open),
        Err(reason) => reason,
    };
    wipe(dir).map_err(failed)?;
    drop(lock);
    let files = Files::open(dir).map_err(failed)?;
    let (schema, fields) = schema::schema();
    let index = Index::builder()
        .schema(schema)
        .settings(schema::settings())
        .tokenizers(words::tokenizers(options.stemming))
        .open_or_create(files)
        .map_err(|source| SearchError::Read { source })?;
    let reader = reader(&index).map_err(|source| SearchError::Read { source })?;
    Ok(OpenIndex { index, reader, fields, folded: 0, opened: Opened::Empty { reason } })
}

/// The index that is there, or why there is none.
fn existing(files: Files, dir: &Path, options: &SearchOptions) -> Result<OpenIndex, String> {
    match Index::exists(&files) {
        Ok(true) => {}
        Ok(false) => return Err("there is none".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    let mut index = Index::open(files).map_err(|error| error.to_string())?;
    let (schema, fields) = schema::schema();
    if index.schema() != schema {
        return Err("it was written by another version".to_owned());
    }
    let meta = index.load_metas().map_err(|error| error.to_string())?;
    let Some(payload) = &meta.payload else {
        return Err("nothing was committed".to_owned());
    };
    let payload: Payload = serde_json::from_str(payload)
        .map_err(|_| "it was written by another version".to_owned())?;
    if payload.format != FORMAT {
        return Err(format!("it has format {}, not {FORMAT}", payload.format));
    }
    if payload.stemming != options.stemming {
        return Err("it was made with another stemming".to_owned());
    }
    for path in expected_files(&meta.segments) {
        if !dir.join(&path).exists() {
            return Err(format!("{} is missing", path.display()));
        }
    }
    if bytes(dir) <= options.verify_bytes {
        verify(&index)?;
    }
    index.set_tokenizers(words::tokenizers(options.stemming));
    let reader = reader(&index).map_err(|error| error.to_string())?;
    Ok(OpenIndex { index, reader, fields, folded: payload.folded, opened: Opened::Ready })
}

/// The files of segments. tantivy takes it for granted that some of them may be missing.
fn expected_files(segments: &[SegmentMeta]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for segment in segments {
        let mut components = vec![
            SegmentComponent::Postings,
            SegmentComponent::Positions,
            SegmentComponent::FastFields,
            SegmentComponent::FieldNorms,
            SegmentComponent::Terms,
            SegmentComponent::Store,
        ];
        components.extend(segment.has_deletes().then_some(SegmentComponent::Delete));
        paths.extend(components.into_iter().map(|component| segment.relative_path(component)));
    }
    paths
}

/// Compares every file with its checksum.
pub(super) fn verify(index: &Index) -> Result<(), String> {
    let damaged = index.validate_checksum().map_err(|error| error.to_string())?;
    match damaged.iter().next() {
        None => Ok(()),
        Some(path) => Err(format!("{} is damaged", path.display())),
    }
}

fn reader(index: &Index) -> tantivy::Result<IndexReader> {
    index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()
}
