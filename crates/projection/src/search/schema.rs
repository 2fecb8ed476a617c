//! The fields of the index, and what a commit remembers.
//!
//! Resources and events have fields of their own for text, words and values, so that a query over
//! one of them needs no filter and its statistics are not diluted by the other.

use serde::{Deserialize, Serialize};
use tantivy::{
    index::IndexSettings,
    schema::{
        Field, IndexRecordOption, JsonObjectOptions, NumericOptions, Schema, SchemaBuilder,
        TextFieldIndexing, TextOptions,
    },
    store::Compressor,
    tokenizer::{Language, RAW_TOKENIZER_NAME},
};

use super::{Kind, words};

/// Changes whenever the same document would be indexed otherwise.
pub(super) const FORMAT: u32 = 2;

/// The fields that one kind of document has for its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContentFields {
    /// All strings, one after the other, with positions.
    pub(super) text: Field,
    /// The same words by path, with positions.
    pub(super) words: Field,
    /// Strings (cut), numbers, booleans and instants by path, as columns.
    pub(super) values: Field,
}

/// Every field there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    resources: ContentFields,
    events: ContentFields,
    /// A resource's key, to delete by and as a column.
    pub(super) key: Field,
    /// An event's position, to delete by.
    pub(super) event: Field,
    /// The resource's id alone, lower-cased, for people who type it.
    pub(super) id: Field,
    /// `r` or `e`.
    pub(super) kind: Field,
    pub(super) ty: Field,
    /// Left out where it is the resource's key.
    pub(super) subject: Field,
    pub(super) source: Field,
    /// A [`Place`](super::place::Place).
    pub(super) place: Field,
    /// Microseconds since 1970.
    pub(super) time: Field,
}

/// Names of columns.
pub(super) const KEY: &str = "key";
pub(super) const TYPE: &str = "type";
pub(super) const SUBJECT: &str = "subject";
pub(super) const SOURCE: &str = "source";
pub(super) const PLACE: &str = "place";
pub(super) const TIME: &str = "time";

impl Fields {
    pub(super) fn content(&self, kind: Kind) -> ContentFields {
        match kind {
            Kind::Resource => self.resources,
            Kind::Event => self.events,
        }
    }
}

/// The name of the column field of a kind.
pub(super) fn values_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Resource => "values_r",
        Kind::Event => "values_e",
    }
}

/// How a kind is written in [`Fields::kind`].
pub(super) fn kind_term(kind: Kind) -> &'static str {
    match kind {
        Kind::Resource => "r",
        Kind::Event => "e",
    }
}

pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let resources = content(&mut builder, ["text_r", "words_r", values_name(Kind::Resource)]);
    let events = content(&mut builder, ["text_e", "words_e", values_name(Kind::Event)]);
    let exact = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(RAW_TOKENIZER_NAME)
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false),
    );
    let attribute = exact.clone().set_fast(RAW_TOKENIZER_NAME);
    let number = NumericOptions::default().set_fast();
    let fields = Fields {
        resources,
        events,
        key: builder.add_text_field(KEY, attribute.clone()),
        event: builder.add_u64_field("event", NumericOptions::default().set_indexed()),
        id: builder.add_text_field("id", exact.clone()),
        kind: builder.add_text_field("kind", exact),
        ty: builder.add_text_field(TYPE, attribute.clone()),
        subject: builder.add_text_field(SUBJECT, attribute.clone()),
        source: builder.add_text_field(SOURCE, attribute),
        place: builder.add_u64_field(PLACE, number.clone()),
        time: builder.add_i64_field(TIME, number),
    };
    (builder.build(), fields)
}

fn content(builder: &mut SchemaBuilder, names: [&str; 3]) -> ContentFields {
    let text = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(words::MARKED)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    );
    let words = JsonObjectOptions::default()
        .set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(words::WHOLE)
                .set_index_option(IndexRecordOption::WithFreqs)
                .set_fieldnorms(false),
        )
        .set_expand_dots_enabled();
    let values =
        JsonObjectOptions::default().set_fast(RAW_TOKENIZER_NAME).set_expand_dots_enabled();
    ContentFields {
        text: builder.add_text_field(names[0], text),
        words: builder.add_json_field(names[1], words),
        values: builder.add_json_field(names[2], values),
    }
}

/// Nothing is stored, so the document store is neither compressed nor given a thread.
pub(super) fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

/// What a commit says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) format: u32,
    pub(super) stemming: Option<Language>,
    pub(super) events: bool,
    pub(super) folded: u64,
}
