//! The protobuf format (`io.cloudevents.v1.CloudEvent`), as events are stored and as they travel.
//!
//! Both are the same message and any protobuf reader can read both. A **record** (what is stored)
//! differs from what is sent in two points, so that it gives back exactly what came in:
//!
//! - `time` is a `ce_timestamp` only if the RFC 3339 text follows from the instant, else a
//!   `ce_string` with that text. Sent, it is a `ce_timestamp` wherever protobuf can say it.
//! - `text_data` holds JSON and other text. It is JSON if `datacontenttype` is a JSON media type or
//!   absent, else text. Where that rule would read the data wrongly, field 2047 says what it is
//!   (1 JSON, 2 text); readers that know only the published schema pass over it.
//!
//! Neither holds position and recorded time: a record has its place from its batch, and on the wire
//! they are attributes that this side adds and ignores.
//!
//! A [`Value::Timestamp`](crate::Value) whose text does not follow from its instant is stored as
//! text. No format but protobuf has typed timestamps, so none that came in is like that.

mod attribute;
mod pass;
mod read;
mod wire;
mod write;

pub use attribute::{Record, attribute};
pub use pass::write_record;
pub use read::{decode_record, keys, parse_batch, parse_event};
pub(crate) use write::put_record_with_id;
pub use write::{encode_record, record_bytes, write_batch_item, write_event};

pub use crate::Keys;

/// Field numbers of `cloudevents.proto`.
mod number {
    pub(super) const ID: u32 = 1;
    pub(super) const SOURCE: u32 = 2;
    pub(super) const SPEC_VERSION: u32 = 3;
    pub(super) const TYPE: u32 = 4;
    pub(super) const ATTRIBUTES: u32 = 5;
    pub(super) const BINARY_DATA: u32 = 6;
    pub(super) const TEXT_DATA: u32 = 7;
    pub(super) const PROTO_DATA: u32 = 8;

    pub(super) const CE_BOOLEAN: u32 = 1;
    pub(super) const CE_INTEGER: u32 = 2;
    pub(super) const CE_STRING: u32 = 3;
    pub(super) const CE_BYTES: u32 = 4;
    pub(super) const CE_URI: u32 = 5;
    pub(super) const CE_URI_REF: u32 = 6;
    pub(super) const CE_TIMESTAMP: u32 = 7;

    pub(super) const BATCH_EVENTS: u32 = 1;
}

/// Our own field of a record: what `text_data` is, where the media type does not say.
const DATA_KIND: u32 = 2047;
const KIND_JSON: u8 = 1;
const KIND_TEXT: u8 = 2;
