//! Writes a run: identities in order, then keys in order with their positions.
//!
//! Whoever freezes the memory table or merges runs feeds the same writer, and a run's bytes follow
//! from its events alone: however it came about, the same events make the same file.

use std::sync::Arc;

use annal_event::Position;
use annal_storage::Storage;

use super::{
    column::{ColumnWriter, width_for},
    dictionary::DictionaryWriter,
    error::IndexError,
    filter::Filter,
    key::{Kind, hash_key},
    pages::{PAYLOAD_BYTES, PageWriter},
    postings::ListWriter,
    run::{Footer, IDENTITY_BYTES, IDENTITY_FILTER_BITS, KEY_FILTER_BITS, run_salt},
    spool::{Piece, Spool},
};

/// Hashes set aside at a time, in bytes.
const HASH_PIECE_BYTES: usize = 8 * 1024;

/// What remains to be done once all keys are in.
#[derive(Debug)]
enum Finish {
    Keys,
    Dictionary(Vec<Piece>, usize),
    Column(usize),
    KeyFilter(Box<Filter>, usize),
    Summary(Box<Filter>),
    Done,
}

/// A run being written.
#[derive(Debug)]
pub(super) struct RunWriter {
    pages: PageWriter,
    spool: Spool,
    footer: Footer,
    page_firsts: Vec<u8>,
    identity_filter: Filter,
    lists: ListWriter,
    dictionary: DictionaryWriter,
    column: ColumnWriter,
    hashes: Vec<u8>,
    hash_pieces: Vec<Piece>,
    key: Vec<u8>,
    finish: Finish,
    scratch: Vec<u8>,
}

impl RunWriter {
    /// Begins the run of `count` events from `first` on.
    pub(super) fn create(
        storage: &Arc<dyn Storage>,
        path: &str,
        first: Position,
        count: u32,
    ) -> Result<RunWriter, IndexError> {
        // A new file, not a truncated one: readers may still have the old one open.
        storage.remove(path).map_err(|e| IndexError::io(path, e))?;
        let file = storage.create(path).map_err(|e| IndexError::io(path, e))?;
        Ok(RunWriter {
            pages: PageWriter::new(file, path.to_owned(), run_salt(first, count)),
            spool: Spool::new(Arc::clone(storage), format!("{path}.scratch")),
            footer: Footer::new(first, count),
            page_firsts: Vec::new(),
            identity_filter: Filter::new(u64::from(count), IDENTITY_FILTER_BITS),
            lists: ListWriter::default(),
            dictionary: DictionaryWriter::default(),
            column: ColumnWriter::new(count),
            hashes: Vec::new(),
            hash_pieces: Vec::new(),
            key: Vec::new(),
            finish: Finish::Keys,
            scratch: Vec::new(),
        })
    }

    /// Identities come in order of (hash, position), one per event.
    pub(super) fn identity(&mut self, hash: u64, position: u32) -> Result<(), IndexError> {
        if self.pages.offset().is_multiple_of(PAYLOAD_BYTES as u64) {
            self.page_firsts.extend_from_slice(&hash.to_le_bytes());
        }
        let mut entry = [0; IDENTITY_BYTES];
        entry[..8].copy_from_slice(&hash.to_le_bytes());
        entry[8..].copy_from_slice(&position.to_le_bytes());
        self.identity_filter.insert(hash);
        self.pages.write(&entry)
    }

    pub(super) fn end_identities(&mut self) -> Result<(), IndexError> {
        self.footer.identities = self.pages.end_section()?;
        Ok(())
    }

    /// Keys come in order, each once.
    pub(super) fn begin_key(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    /// Positions of a key come in order.
    pub(super) fn posting(&mut self, position: u32) -> Result<(), IndexError> {
        if self.key.first() == Some(&(Kind::Subject as u8)) {
            self.column.push(&mut self.spool, position, self.dictionary.len())?;
        }
        self.lists.push(&mut self.pages, position)
    }

    pub(super) fn end_key(&mut self) -> Result<(), IndexError> {
        let list = self.lists.finish(&mut self.pages)?;
        if self.key.first() == Some(&(Kind::Subject as u8)) {
            self.footer.subjects += 1;
        }
        self.dictionary.push(&mut self.spool, &self.key, &list)?;
        self.hashes.extend_from_slice(&hash_key(&self.key).to_le_bytes());
        if self.hashes.len() >= HASH_PIECE_BYTES {
            self.hash_pieces.push(self.spool.put(&self.hashes)?);
            self.hashes.clear();
        }
        Ok(())
    }

    /// After the last key: one bounded step of what remains. The size of the file once it is whole
    /// and durable.
    pub(super) fn finish_step(&mut self) -> Result<Option<u64>, IndexError> {
        self.finish = match std::mem::replace(&mut self.finish, Finish::Done) {
            Finish::Keys => self.end_keys()?,
            Finish::Dictionary(pieces, done) => self.copy_dictionary(pieces, done)?,
            Finish::Column(bucket) => self.write_column(bucket)?,
            Finish::KeyFilter(filter, done) => self.fill_key_filter(filter, done)?,
            Finish::Summary(filter) => return self.write_summary(&filter).map(Some),
            Finish::Done => unreachable!("a finished run is not finished again"),
        };
        Ok(None)
    }

    fn end_keys(&mut self) -> Result<Finish, IndexError> {
        self.footer.postings = self.pages.end_section()?;
        self.hash_pieces.push(self.spool.put(&self.hashes)?);
        Ok(Finish::Dictionary(self.dictionary.finish(&mut self.spool)?, 0))
    }

    fn copy_dictionary(&mut self, pieces: Vec<Piece>, done: usize) -> Result<Finish, IndexError> {
        let end = pieces.len().min(done + STEP_PIECES);
        for piece in &pieces[done..end] {
            self.spool.get(*piece, &mut self.scratch)?;
            self.pages.pad_page()?;
            self.pages.write(&self.scratch)?;
        }
        if end < pieces.len() {
            return Ok(Finish::Dictionary(pieces, end));
        }
        self.footer.dictionary = self.pages.end_section()?;
        Ok(Finish::Column(0))
    }

    fn write_column(&mut self, bucket: usize) -> Result<Finish, IndexError> {
        let width = width_for(self.footer.subjects);
        if self.footer.subjects > 0 && bucket < self.column.buckets() {
            self.column.write_bucket(bucket, width, &self.spool, &mut self.pages)?;
            return Ok(Finish::Column(bucket + 1));
        }
        self.footer.column = self.pages.end_section()?;
        let filter = Filter::new(u64::from(self.dictionary.len()), KEY_FILTER_BITS);
        Ok(Finish::KeyFilter(Box::new(filter), 0))
    }

    fn fill_key_filter(
        &mut self,
        mut filter: Box<Filter>,
        done: usize,
    ) -> Result<Finish, IndexError> {
        let end = self.hash_pieces.len().min(done + STEP_PIECES);
        for piece in &self.hash_pieces[done..end] {
            self.spool.get(*piece, &mut self.scratch)?;
            for hash in self.scratch.chunks_exact(8) {
                filter.insert(u64::from_le_bytes(hash.try_into().expect("eight bytes")));
            }
        }
        if end < self.hash_pieces.len() {
            return Ok(Finish::KeyFilter(filter, end));
        }
        Ok(Finish::Summary(filter))
    }

    fn write_summary(&mut self, key_filter: &Filter) -> Result<u64, IndexError> {
        let pages = &mut self.pages;
        pages.write(&self.page_firsts)?;
        self.footer.page_firsts = pages.end_section()?;
        self.identity_filter.for_each_block(|block| pages.write(block))?;
        self.footer.identity_filter = pages.end_section()?;
        key_filter.for_each_block(|block| pages.write(block))?;
        self.footer.key_filter = pages.end_section()?;
        self.dictionary.write_summary(pages)?;
        self.footer.summary = pages.end_section()?;
        pages.write(&self.footer.encode())?;
        pages.end_section()?;
        self.pages.finish()
    }
}

/// Pieces handled in one step.
const STEP_PIECES: usize = 256;
