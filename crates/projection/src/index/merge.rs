//! Merging adjacent runs into one, a bounded step at a time.
//!
//! Inputs are read from front to back and the output is written likewise, so memory is bounded by
//! the number of inputs and their longest key, not by their size. A step handles so many entries,
//! then returns: freezing the memory table, which cannot wait, goes between two steps.

use std::sync::Arc;

use annal_event::Position;
use annal_storage::Storage;

use super::{
    codec::Reader,
    dictionary::DictionaryCursor,
    error::IndexError,
    pages::SectionReader,
    postings::ListStream,
    run::{IDENTITY_BYTES, Run, RunEntry, run_name},
    run_writer::RunWriter,
};

/// Entries (identities, keys or positions) handled in one step.
const STEP_ENTRIES: usize = 64 * 1024;

/// One input.
#[derive(Debug)]
struct Input {
    run: Arc<Run>,
    /// What to add to its relative positions.
    shift: u32,
    identities: SectionReader,
    /// Its next identity.
    identity: Option<(u64, u32)>,
    keys: DictionaryCursor,
    /// Whether `keys` stands on a key that is still to come.
    has_key: bool,
    lists: ListStream,
}

impl Input {
    fn new(run: Arc<Run>, shift: u32) -> Result<Input, IndexError> {
        let mut input = Input {
            shift,
            identities: SectionReader::new(run.pages.clone(), run.footer.identities),
            identity: None,
            keys: run.dictionary.cursor(),
            has_key: false,
            lists: ListStream::new(run.pages.clone(), run.footer.postings),
            run,
        };
        input.next_identity()?;
        input.next_key()?;
        Ok(input)
    }

    fn next_identity(&mut self) -> Result<(), IndexError> {
        let entry = self.identities.next(IDENTITY_BYTES)?.map(Reader::new);
        self.identity = entry.and_then(|mut entry| Some((entry.u64()?, entry.u32()?)));
        Ok(())
    }

    fn next_key(&mut self) -> Result<(), IndexError> {
        self.has_key = self.keys.advance(&self.run.dictionary)?;
        if self.has_key {
            self.lists.begin(self.keys.entry().list);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Identities,
    /// Between two keys.
    Keys,
    /// Copying the lists of one key, from this input on.
    Lists(usize),
    Finish,
}

/// A merge on its way.
#[derive(Debug)]
pub(super) struct Merge {
    inputs: Vec<Input>,
    writer: RunWriter,
    phase: Phase,
    key: Vec<u8>,
    output: RunEntry,
}

impl Merge {
    /// Begins to merge adjacent runs, oldest first.
    pub(super) fn begin(
        storage: &Arc<dyn Storage>,
        dir: &str,
        runs: &[Arc<Run>],
    ) -> Result<Merge, IndexError> {
        let first = runs.first().map_or(Position::FIRST, |run| run.first);
        let level = runs.iter().map(|run| run.level).max().unwrap_or_default() + 1;
        let mut inputs = Vec::new();
        let mut count = 0;
        for run in runs {
            inputs.push(Input::new(Arc::clone(run), count)?);
            count += run.count;
        }
        let path = format!("{dir}/{}", run_name(first, count));
        Ok(Merge {
            inputs,
            writer: RunWriter::create(storage, &path, first, count)?,
            phase: Phase::Identities,
            key: Vec::new(),
            output: RunEntry { first, count, level, bytes: 0 },
        })
    }

    /// The runs that the output will replace.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.inputs.iter().map(|input| &input.run)
    }

    /// Does a bounded step. The output, once it is whole and durable.
    pub(super) fn step(&mut self) -> Result<Option<RunEntry>, IndexError> {
        match self.phase {
            Phase::Identities => self.merge_identities()?,
            Phase::Keys | Phase::Lists(_) => self.merge_keys()?,
            Phase::Finish => {
                let bytes = self.writer.finish_step()?;
                return Ok(bytes.map(|bytes| RunEntry { bytes, ..self.output }));
            }
        }
        Ok(None)
    }

    fn merge_identities(&mut self) -> Result<(), IndexError> {
        for _ in 0..STEP_ENTRIES {
            // Inputs are in order of position, so the first of equal hashes is the oldest.
            let least = self.inputs.iter_mut().filter(|input| input.identity.is_some());
            let least = least.min_by_key(|input| input.identity.map(|(hash, _)| hash));
            let Some(input) = least else {
                self.writer.end_identities()?;
                self.phase = Phase::Keys;
                return Ok(());
            };
            if let Some((hash, relative)) = input.identity {
                self.writer.identity(hash, relative + input.shift)?;
            }
            input.next_identity()?;
        }
        Ok(())
    }

    fn merge_keys(&mut self) -> Result<(), IndexError> {
        let mut budget = STEP_ENTRIES;
        while budget > 0 && self.phase != Phase::Finish {
            match self.phase {
                Phase::Lists(index) => self.copy_lists(index, &mut budget)?,
                _ => self.choose_key(),
            }
        }
        Ok(())
    }

    fn choose_key(&mut self) {
        let pending = self.inputs.iter().filter(|input| input.has_key);
        let Some(least) = pending.map(|input| input.keys.key()).min() else {
            self.phase = Phase::Finish;
            return;
        };
        self.key.clear();
        self.key.extend_from_slice(least);
        self.writer.begin_key(&self.key);
        self.phase = Phase::Lists(0);
    }

    fn copy_lists(&mut self, index: usize, budget: &mut usize) -> Result<(), IndexError> {
        let Some(input) = self.inputs.get_mut(index) else {
            self.phase = Phase::Keys;
            return self.writer.end_key();
        };
        if input.has_key && input.keys.key() == self.key.as_slice() {
            while let Some(relative) = input.lists.next()? {
                self.writer.posting(relative + input.shift)?;
                *budget -= 1;
                if *budget == 0 {
                    return Ok(());
                }
            }
            input.next_key()?;
        }
        self.phase = Phase::Lists(index + 1);
        Ok(())
    }
}
