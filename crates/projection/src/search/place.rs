//! Where a document stands: what orders results that are equal otherwise.

use annal_event::Position;

use super::Kind;

/// A position, and whether it is a resource's revision or an event's own; in one number, as it
/// stands in a column. A resource comes after the event that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u64);

impl Place {
    pub(super) fn new(position: Position, kind: Kind) -> Place {
        Place(position.get() << 1 | u64::from(kind == Kind::Resource))
    }

    pub(super) fn position(self) -> Position {
        Position(self.0 >> 1)
    }

    pub(super) fn kind(self) -> Kind {
        if self.0 & 1 == 1 { Kind::Resource } else { Kind::Event }
    }
}
