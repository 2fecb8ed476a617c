//! The values of documents by path, as columns of one segment.

use std::cmp::Ordering;

use tantivy::{
    DocId, SegmentReader,
    columnar::{Column, DynamicColumn, StrColumn},
};

use super::{
    Kind, content, schema,
    target::{Attribute, Target, column},
};

/// A column of one segment.
pub(super) enum Values {
    Text(StrColumn),
    Signed(Column<i64>),
    Unsigned(Column<u64>),
    Float(Column<f64>),
    Bool(Column<bool>),
    /// Microseconds since 1970 of texts that are dates.
    Instant(Column<i64>),
}

/// Columns of which a document has the first that has anything for it, or all.
pub(super) struct Columns {
    pub(super) all: Vec<Values>,
    /// Asked only where none of `all` has a value.
    pub(super) fallback: Option<StrColumn>,
}

/// Opens what there is of a path, or an attribute, over some kinds of documents.
pub(super) fn open(
    reader: &SegmentReader,
    target: &Target,
    kinds: &[Kind],
    instants: bool,
) -> tantivy::Result<Columns> {
    let mut columns = Columns { all: Vec::new(), fallback: None };
    let fast = reader.fast_fields();
    match target {
        Target::Attribute(which) => {
            columns.all.extend(fast.str(which.column())?.map(Values::Text));
            if *which == Attribute::Subject && kinds.contains(&Kind::Resource) {
                columns.fallback = fast.str(schema::KEY)?;
            }
        }
        // Zero ends a name; no document has it in a path.
        Target::Path(path) if path.contains('\0') => {}
        Target::Path(path) => {
            for kind in kinds {
                let name = column(*kind, path);
                for handle in fast.dynamic_column_handles(&name)? {
                    columns.all.extend(values(handle.open()?));
                }
                if instants {
                    let name = format!("{name}.{}", content::INSTANT);
                    let instants = fast.column_opt::<i64>(&name)?;
                    columns.all.extend(instants.map(Values::Instant));
                }
            }
        }
    }
    Ok(columns)
}

fn values(column: DynamicColumn) -> Option<Values> {
    match column {
        DynamicColumn::Str(column) => Some(Values::Text(column)),
        DynamicColumn::I64(column) => Some(Values::Signed(column)),
        DynamicColumn::U64(column) => Some(Values::Unsigned(column)),
        DynamicColumn::F64(column) => Some(Values::Float(column)),
        DynamicColumn::Bool(column) => Some(Values::Bool(column)),
        DynamicColumn::IpAddr(_) | DynamicColumn::DateTime(_) | DynamicColumn::Bytes(_) => None,
    }
}

/// A number or a boolean, comparable whatever column it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl Scalar {
    fn float(self) -> f64 {
        match self {
            Scalar::Bool(value) => f64::from(u8::from(value)),
            Scalar::Signed(value) => value as f64,
            Scalar::Unsigned(value) => value as f64,
            Scalar::Float(value) => value,
        }
    }

    fn integer(self) -> i128 {
        match self {
            Scalar::Bool(value) => i128::from(value),
            Scalar::Signed(value) => i128::from(value),
            Scalar::Unsigned(value) => i128::from(value),
            Scalar::Float(value) => value as i128,
        }
    }

    fn is_bool(self) -> bool {
        matches!(self, Scalar::Bool(_))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Scalar) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    /// Booleans first; then numbers, exactly where doubles cannot tell them apart.
    fn cmp(&self, other: &Scalar) -> Ordering {
        let order = other.is_bool().cmp(&self.is_bool());
        let order = order.then_with(|| self.float().total_cmp(&other.float()));
        order.then_with(|| self.integer().cmp(&other.integer()))
    }
}

impl Values {
    /// Calls back with every number or boolean of a document.
    pub(super) fn scalars(&self, doc: DocId, mut each: impl FnMut(Scalar)) {
        match self {
            Values::Signed(column) => {
                column.values_for_doc(doc).for_each(|value| each(Scalar::Signed(value)));
            }
            Values::Unsigned(column) => {
                column.values_for_doc(doc).for_each(|value| each(Scalar::Unsigned(value)));
            }
            Values::Float(column) => {
                column.values_for_doc(doc).for_each(|value| each(Scalar::Float(value)));
            }
            Values::Bool(column) => {
                column.values_for_doc(doc).for_each(|value| each(Scalar::Bool(value)));
            }
            Values::Text(_) | Values::Instant(_) => {}
        }
    }
}
