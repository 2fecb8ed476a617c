//! Writing behind: freezing full tables, merging runs, and making what is written the index.
//!
//! One step at a time, so that a simulator can stand between any two, and so that a table that
//! waits to be frozen never waits for a merge to end. A merge of each level may be on its way at
//! once; the lowest goes first, since it keeps the number of runs small. Readers are never locked
//! out: what is written is opened first, then swapped in.

use std::{collections::BTreeMap, io, sync::Arc};

use annal_event::Position;
use annal_storage::Storage;

use super::{
    Index, Opened, Shared, State,
    error::IndexError,
    manifest::{self, MANIFEST},
    memory::Table,
    merge::Merge,
    run::{RUN_EVENTS_MAX, Run, RunEntry, run_name},
    run_writer::RunWriter,
};

/// Merges on their way, by the level of their inputs.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    merges: BTreeMap<u8, Merge>,
}

impl Index {
    /// Does one step: freezes the oldest full table if all of it is durable (tens of milliseconds
    /// for 64 Ki events), else goes on with a merge (some milliseconds). `false`: there is nothing
    /// to do.
    ///
    /// After an error nothing is lost: the step is done anew when called again.
    pub fn maintain(&self, durable: Position) -> Result<bool, IndexError> {
        let mut maintenance = self.maintenance.lock();
        if let Some(table) = self.shared.durable_table(durable) {
            return self.shared.freeze(&table).map(|()| true);
        }
        maintenance.step(&self.shared)
    }

    /// Removes what names the runs, so that whoever opens the index next begins anew. Answers go on
    /// as they can.
    pub fn condemn(&self) -> Result<(), IndexError> {
        let Shared { storage, dir, .. } = &*self.shared;
        let path = format!("{dir}/{MANIFEST}");
        storage.remove(&path).map_err(|e| IndexError::io(&path, e))?;
        storage.sync_dir(dir).map_err(|e| IndexError::io(dir, e))
    }

    /// Empties the index, on disk too, after damage. The log is to be folded from its beginning.
    pub fn clear(&self) -> Result<(), IndexError> {
        let mut maintenance = self.maintenance.lock();
        maintenance.merges.clear();
        *self.shared.state.write() = State::new(Vec::new());
        remove_all_but(&self.shared.storage, &self.shared.dir, &[])
    }
}

impl Maintenance {
    fn step(&mut self, shared: &Arc<Shared>) -> Result<bool, IndexError> {
        let runs = shared.runs();
        let startable = next_merge(&runs, shared.options.fan_out, &self.merges);
        let lowest = self.merges.keys().next().copied();
        let level = match (lowest, startable) {
            (Some(lowest), Some((level, _))) if lowest < level => lowest,
            (_, Some((level, inputs))) => {
                let merge = Merge::begin(&shared.storage, &shared.dir, inputs)?;
                self.merges.insert(level, merge);
                level
            }
            (Some(lowest), None) => lowest,
            (None, None) => return Ok(false),
        };
        let Some(mut merge) = self.merges.remove(&level) else { return Ok(false) };
        match merge.step()? {
            Some(output) => shared.replace(&merge, output)?,
            None => {
                self.merges.insert(level, merge);
            }
        }
        Ok(true)
    }
}

/// The lowest level that has enough runs and no merge yet, and its oldest runs.
fn next_merge<'a>(
    runs: &'a [Arc<Run>],
    fan_out: usize,
    merging: &BTreeMap<u8, Merge>,
) -> Option<(u8, &'a [Arc<Run>])> {
    // Levels never rise from older to newer, so the runs of one level lie side by side.
    let levels = runs.chunk_by(|a, b| a.level == b.level);
    let mut found = None;
    for runs in levels.filter(|runs| runs.len() >= fan_out) {
        let inputs = &runs[..fan_out];
        let events: u64 = inputs.iter().map(|run| u64::from(run.count)).sum();
        if events <= RUN_EVENTS_MAX && !merging.contains_key(&inputs[0].level) {
            found = Some((inputs[0].level, inputs));
        }
    }
    found
}

impl Shared {
    fn durable_table(&self, durable: Position) -> Option<Arc<Table>> {
        let state = self.state.read();
        state.full.front().filter(|table| table.end().prev() <= durable).cloned()
    }

    fn freeze(&self, table: &Arc<Table>) -> Result<(), IndexError> {
        let (first, count) = (table.first(), table.len());
        let path = format!("{}/{}", self.dir, run_name(first, count));
        let mut writer = RunWriter::create(&self.storage, &path, first, count)?;
        table.freeze(&mut writer)?;
        let bytes = loop {
            if let Some(bytes) = writer.finish_step()? {
                break bytes;
            }
        };
        let entry = RunEntry { first, count, level: 0, bytes };
        let run = Arc::new(Run::open(&self.storage, &self.dir, entry)?);
        let mut runs = self.runs().to_vec();
        runs.push(run);
        self.commit(&runs)?;
        let mut state = self.state.write();
        state.runs = runs.into();
        state.full.pop_front();
        Ok(())
    }

    fn replace(&self, merge: &Merge, output: RunEntry) -> Result<(), IndexError> {
        let run = Arc::new(Run::open(&self.storage, &self.dir, output)?);
        let (first, last) = (run.first, run.last());
        let mut runs = self.runs().to_vec();
        let at = runs.partition_point(|old| old.first < first);
        runs.retain(|old| old.first < first || old.first > last);
        runs.insert(at, run);
        self.commit(&runs)?;
        self.state.write().runs = runs.into();
        for input in merge.inputs() {
            // What cannot be removed now is removed when the index is next opened.
            let _ = self.storage.remove(&input.path);
        }
        Ok(())
    }

    fn commit(&self, runs: &[Arc<Run>]) -> Result<(), IndexError> {
        let entries: Vec<RunEntry> = runs.iter().map(|run| run.entry()).collect();
        manifest::write(&self.storage, &self.dir, &entries)
    }
}

/// Opens what the manifest names and removes what it does not.
pub(super) fn open_runs(
    storage: &Arc<dyn Storage>,
    dir: &str,
) -> Result<(Vec<Arc<Run>>, Opened), IndexError> {
    storage.create_dir(dir).map_err(|e| IndexError::io(dir, e))?;
    let (runs, opened) = match manifest::read(storage, dir)? {
        Err(reason) => (Vec::new(), Opened::Empty { reason: reason.to_owned() }),
        Ok(entries) => match open_all(storage, dir, &entries) {
            Ok(runs) => (runs, Opened::Ready),
            Err(error) if is_unusable(&error) => {
                (Vec::new(), Opened::Empty { reason: error.to_string() })
            }
            Err(error) => return Err(error),
        },
    };
    let mut keep: Vec<String> = runs.iter().map(|run| run.entry().name()).collect();
    if opened == Opened::Ready {
        keep.push(MANIFEST.to_owned());
    }
    remove_all_but(storage, dir, &keep)?;
    Ok((runs, opened))
}

fn open_all(
    storage: &Arc<dyn Storage>,
    dir: &str,
    entries: &[RunEntry],
) -> Result<Vec<Arc<Run>>, IndexError> {
    entries.iter().map(|entry| Run::open(storage, dir, *entry).map(Arc::new)).collect()
}

/// Damage and missing files lead to a rebuild; a disk that refuses may answer the next time.
fn is_unusable(error: &IndexError) -> bool {
    match error {
        IndexError::Damaged { .. } => true,
        IndexError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The manifest goes first, so that it never names a run that is gone.
fn remove_all_but(
    storage: &Arc<dyn Storage>,
    dir: &str,
    keep: &[String],
) -> Result<(), IndexError> {
    let io = |e| IndexError::io(dir, e);
    let names = storage.list(dir).map_err(io)?;
    let mut remove: Vec<_> = names.iter().filter(|name| !keep.contains(name)).collect();
    remove.sort_by_key(|name| *name != MANIFEST);
    for name in &remove {
        storage.remove(&format!("{dir}/{name}")).map_err(io)?;
        if *name == MANIFEST {
            storage.sync_dir(dir).map_err(io)?;
        }
    }
    Ok(())
}
