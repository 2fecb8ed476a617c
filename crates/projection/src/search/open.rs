//! Opening: what is there is checked before it is believed; what is not whole is thrown away.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tantivy::{
    Index, IndexReader, ReloadPolicy, TantivyError,
    directory::{Directory, INDEX_WRITER_LOCK, error::LockError},
    index::{SegmentComponent, SegmentMeta},
};

use super::{
    Opened, SearchError, SearchOptions,
    directory::{Files, bytes, remove_unfinished, wipe},
    error::Unusable,
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
    remove_unfinished(dir).map_err(failed)?;
    let reason = match existing(files, dir, options) {
        Ok(open) => return Ok(open),
        Err(reason) => reason.to_string(),
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
fn existing(files: Files, dir: &Path, options: &SearchOptions) -> Result<OpenIndex, Unusable> {
    if !Index::exists(&files).map_err(TantivyError::from)? {
        return Err(Unusable::Missing);
    }
    let mut index = Index::open(files)?;
    let (schema, fields) = schema::schema();
    if index.schema() != schema {
        return Err(Unusable::Version);
    }
    let meta = index.load_metas()?;
    let payload = meta.payload.as_deref().ok_or(Unusable::Uncommitted)?;
    let payload: Payload = serde_json::from_str(payload).map_err(|_| Unusable::Version)?;
    if payload.format != FORMAT {
        return Err(Unusable::Version);
    }
    if payload.stemming != options.stemming {
        return Err(Unusable::Stemming);
    }
    if payload.events != options.events {
        return Err(Unusable::Events { events: payload.events });
    }
    for path in expected_files(&meta.segments) {
        if !dir.join(&path).exists() {
            return Err(Unusable::FileMissing { file: path.display().to_string() });
        }
    }
    if bytes(dir) <= options.verify_bytes
        && let Some(file) = damaged(&index)?
    {
        return Err(Unusable::FileDamaged { file });
    }
    index.set_tokenizers(words::tokenizers(options.stemming));
    let reader = reader(&index)?;
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

/// Compares every file with its checksum; the first that differs.
pub(super) fn damaged(index: &Index) -> tantivy::Result<Option<String>> {
    let damaged = index.validate_checksum()?;
    Ok(damaged.iter().next().map(|path| path.display().to_string()))
}

fn reader(index: &Index) -> tantivy::Result<IndexReader> {
    index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()
}
