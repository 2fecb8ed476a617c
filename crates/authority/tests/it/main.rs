//! Every authority through the conformance suite.

use std::sync::Arc;

use annal_authority::{CommitAuthority, Local, Memory, SyncWhen, conformance};
use annal_log::LogOptions;
use annal_storage::FaultStorage;
use parking_lot::Mutex;

#[test]
fn memory_conforms() {
    conformance::run(|| Arc::new(Memory::default()));
}

#[test]
fn local_conforms() {
    for when in [SyncWhen::Append, SyncWhen::Asked] {
        conformance::run(|| local(when));
    }
}

fn local(when: SyncWhen) -> Arc<dyn CommitAuthority> {
    let mut salt = 0;
    let salts = Box::new(move || {
        salt += 1;
        salt
    });
    let (writer, reader) =
        annal_log::open(Arc::new(FaultStorage::default()), "log", LogOptions::default(), salts)
            .expect("an empty log opens");
    Arc::new(Local::new(Arc::new(Mutex::new(writer)), reader, when))
}
