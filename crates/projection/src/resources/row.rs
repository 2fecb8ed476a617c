//! A document's row: what is said of it, then its text.

use annal_event::{Position, Timestamp};

use crate::store::Value;

/// Bytes before the texts: revision, recorded time, changes, flags, length of the subject.
const HEADER_BYTES: usize = 8 + 8 + 4 + 1 + 4;
const DELETED: u8 = 1;

/// A resource as it stands after its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    row: Value,
}

/// What a row says, to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) revision: Position,
    pub(super) recorded: Timestamp,
    /// Commits that have changed it so far, this one included.
    pub(super) changes: u32,
    /// `None`: it is deleted.
    pub(super) text: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
}

impl Facts<'_> {
    pub(super) fn row(&self) -> Value {
        let (subject, text) = (self.subject.unwrap_or_default(), self.text.unwrap_or_default());
        let mut row = Vec::with_capacity(HEADER_BYTES + subject.len() + text.len());
        row.extend_from_slice(&self.revision.get().to_le_bytes());
        row.extend_from_slice(&self.recorded.micros().to_le_bytes());
        row.extend_from_slice(&self.changes.to_le_bytes());
        row.push(if self.text.is_none() { DELETED } else { 0 });
        row.extend_from_slice(&(subject.len() as u32).to_le_bytes());
        row.extend_from_slice(subject.as_bytes());
        row.extend_from_slice(text.as_bytes());
        row.into()
    }
}

impl Document {
    /// Reads a row; `None` if it is none. What is on disk has been checked by the store.
    pub(super) fn of(row: Value) -> Option<Document> {
        let document = Document { row };
        let whole = document.row.len() >= HEADER_BYTES
            && document.row.len() >= HEADER_BYTES + document.subject_bytes()
            && std::str::from_utf8(&document.row[HEADER_BYTES..]).is_ok();
        whole.then_some(document)
    }

    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.row[at..at + N]);
        bytes
    }

    fn subject_bytes(&self) -> usize {
        u32::from_le_bytes(self.number(21)) as usize
    }

    fn texts(&self) -> (&str, &str) {
        let texts = std::str::from_utf8(&self.row[HEADER_BYTES..]).unwrap_or_default();
        texts.split_at_checked(self.subject_bytes()).unwrap_or_default()
    }

    /// Position of the last change.
    pub fn revision(&self) -> Position {
        Position(u64::from_le_bytes(self.number(0)))
    }

    /// When that was recorded.
    pub fn recorded(&self) -> Timestamp {
        Timestamp(i64::from_le_bytes(self.number(8)))
    }

    /// How many commits have changed it.
    pub fn changes(&self) -> u32 {
        u32::from_le_bytes(self.number(16))
    }

    /// Whether the last change removed it.
    pub fn is_deleted(&self) -> bool {
        self.row[20] & DELETED != 0
    }

    /// Subject of the event that changed it last, if that had one.
    pub fn subject(&self) -> Option<&str> {
        let (subject, _) = self.texts();
        (!subject.is_empty()).then_some(subject)
    }

    /// The row, and where in it the text of the document stands.
    pub fn into_parts(self) -> (Value, std::ops::Range<usize>) {
        let text = HEADER_BYTES + self.subject_bytes()..self.row.len();
        (self.row, text)
    }

    /// The document, compact JSON; `None` if it is deleted.
    pub fn text(&self) -> Option<&str> {
        let (_, text) = self.texts();
        (!self.is_deleted()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back() {
        let facts = Facts {
            revision: Position(7),
            recorded: Timestamp(-5),
            changes: 3,
            text: Some("{\"é\":1}"),
            subject: Some("issue/ü"),
        };
        let document = Document::of(facts.row()).expect("a row");
        assert_eq!((document.revision(), document.recorded()), (Position(7), Timestamp(-5)));
        assert_eq!((document.changes(), document.is_deleted()), (3, false));
        assert_eq!((document.subject(), document.text()), (Some("issue/ü"), Some("{\"é\":1}")));
        let gone = Facts { text: None, subject: None, ..facts };
        let gone = Document::of(gone.row()).expect("a row");
        assert_eq!((gone.is_deleted(), gone.subject(), gone.text()), (true, None, None));
        let row = facts.row();
        assert_eq!(Document::of(row[..HEADER_BYTES - 1].into()), None);
        assert_eq!(Document::of(row[..HEADER_BYTES + 2].into()), None);
    }
}
