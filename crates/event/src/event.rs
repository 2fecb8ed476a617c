//! A CloudEvents 1.0 event, borrowing from wherever it was read.

use std::borrow::Cow;

/// A CloudEvents 1.0.2 event. Text that arrived is kept exactly: `time` with its digits and
/// offset, JSON data with its spacing, member order and number digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// Names the event within its source. Not empty.
    pub id: Cow<'a, str>,
    /// Where it happened, a URI-reference. Not empty.
    pub source: Cow<'a, str>,
    /// What kind of thing happened. Not empty.
    pub ty: Cow<'a, str>,
    /// What it happened to; `/` makes a hierarchy.
    pub subject: Option<Cow<'a, str>>,
    /// When it happened, RFC 3339, as it came.
    pub time: Option<Cow<'a, str>>,
    /// Media type of the data.
    pub datacontenttype: Option<Cow<'a, str>>,
    /// Schema that the data adheres to, a URI.
    pub dataschema: Option<Cow<'a, str>>,
    /// Extension attributes, sorted by name, each name once.
    pub extensions: Vec<(Cow<'a, str>, Value<'a>)>,
    /// The payload.
    pub data: Data<'a>,
}

/// The value of an extension attribute (CloudEvents §3.1, "Type System").
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// true or false.
    Boolean(bool),
    /// A signed 32-bit number.
    Integer(i32),
    /// Unicode text.
    String(Cow<'a, str>),
    /// Any bytes; base64 as text.
    Bytes(Cow<'a, [u8]>),
    /// An absolute URI.
    Uri(Cow<'a, str>),
    /// A URI-reference.
    UriRef(Cow<'a, str>),
    /// RFC 3339, as it came.
    Timestamp(Cow<'a, str>),
}

/// The payload of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'a> {
    /// No data at all (other than JSON `null`).
    None,
    /// JSON text, exactly as it arrived.
    Json(Cow<'a, str>),
    /// Text of a media type that is not JSON; came as a JSON string or protobuf `text_data`.
    Text(Cow<'a, str>),
    /// Any bytes.
    Bytes(Cow<'a, [u8]>),
    /// A protobuf message (`google.protobuf.Any`): type URL and bytes.
    Proto(Cow<'a, str>, Cow<'a, [u8]>),
}

impl<'a> Event<'a> {
    /// An event with what every event has; the rest by `with_…`.
    pub fn new(
        id: impl Into<Cow<'a, str>>,
        source: impl Into<Cow<'a, str>>,
        ty: impl Into<Cow<'a, str>>,
    ) -> Event<'a> {
        Event {
            id: id.into(),
            source: source.into(),
            ty: ty.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Vec::new(),
            data: Data::None,
        }
    }

    /// What it happened to.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.subject = Some(subject.into());
        self
    }

    /// When it happened, RFC 3339.
    #[must_use]
    pub fn with_time(mut self, time: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.time = Some(time.into());
        self
    }

    /// Media type of the data.
    #[must_use]
    pub fn with_content_type(mut self, media_type: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.datacontenttype = Some(media_type.into());
        self
    }

    /// Schema of the data, a URI.
    #[must_use]
    pub fn with_schema(mut self, uri: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.dataschema = Some(uri.into());
        self
    }

    /// Sets an extension attribute; one of that name is replaced.
    #[must_use]
    pub fn with_extension(
        mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Value<'a>>,
    ) -> Event<'a> {
        self.set_extension(name.into(), value.into());
        self
    }

    /// JSON data, as text that the caller knows to be JSON.
    #[must_use]
    pub fn with_json(mut self, text: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.data = Data::Json(text.into());
        self
    }

    /// Any data.
    #[must_use]
    pub fn with_data(mut self, data: Data<'a>) -> Event<'a> {
        self.data = data;
        self
    }

    /// The value of an extension attribute.
    pub fn extension(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.extensions.binary_search_by(|(have, _)| have.as_ref().cmp(name)).ok()?;
        self.extensions.get(at).map(|(_, value)| value)
    }

    /// Sets an extension attribute, keeping the order; one of that name is replaced.
    pub fn set_extension(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        match self.extensions.binary_search_by(|(have, _)| have.cmp(&name)) {
            Ok(at) => self.extensions[at].1 = value,
            Err(at) => self.extensions.insert(at, (name, value)),
        }
    }

    /// The same event, borrowing from nothing.
    pub fn into_owned(self) -> Event<'static> {
        let owned = |text: Option<Cow<'a, str>>| text.map(own);
        Event {
            id: own(self.id),
            source: own(self.source),
            ty: own(self.ty),
            subject: owned(self.subject),
            time: owned(self.time),
            datacontenttype: owned(self.datacontenttype),
            dataschema: owned(self.dataschema),
            extensions: self
                .extensions
                .into_iter()
                .map(|(name, value)| (own(name), value.into_owned()))
                .collect(),
            data: self.data.into_owned(),
        }
    }
}

fn own<T: ToOwned + ?Sized + 'static>(text: Cow<'_, T>) -> Cow<'static, T> {
    Cow::Owned(text.into_owned())
}

impl Value<'_> {
    /// The same value, borrowing from nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Boolean(value) => Value::Boolean(value),
            Value::Integer(value) => Value::Integer(value),
            Value::String(text) => Value::String(own(text)),
            Value::Bytes(bytes) => Value::Bytes(own(bytes)),
            Value::Uri(text) => Value::Uri(own(text)),
            Value::UriRef(text) => Value::UriRef(own(text)),
            Value::Timestamp(text) => Value::Timestamp(own(text)),
        }
    }

    /// The canonical string form (CloudEvents §3.1): what the value is where there are no types.
    pub fn canonical(&self) -> Cow<'_, str> {
        match self {
            Value::Boolean(true) => Cow::Borrowed("true"),
            Value::Boolean(false) => Cow::Borrowed("false"),
            Value::Integer(value) => Cow::Owned(value.to_string()),
            Value::Bytes(bytes) => {
                let mut text = Vec::new();
                crate::base64::encode(bytes, &mut text);
                Cow::Owned(String::from_utf8(text).unwrap_or_default())
            }
            Value::String(text)
            | Value::Uri(text)
            | Value::UriRef(text)
            | Value::Timestamp(text) => Cow::Borrowed(text),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::String(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(Cow::Owned(text))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Value::Integer(value)
    }
}

impl Data<'_> {
    /// Whether there is no data at all.
    pub fn is_none(&self) -> bool {
        matches!(self, Data::None)
    }

    /// The bytes of the payload, as binary mode carries them; `None` if there is none.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Data::None => None,
            Data::Json(text) | Data::Text(text) => Some(text.as_bytes()),
            Data::Bytes(bytes) | Data::Proto(_, bytes) => Some(bytes),
        }
    }

    /// The text of JSON data.
    pub fn json(&self) -> Option<&str> {
        match self {
            Data::Json(text) => Some(text),
            _ => None,
        }
    }

    /// The same data, borrowing from nothing.
    pub fn into_owned(self) -> Data<'static> {
        match self {
            Data::None => Data::None,
            Data::Json(text) => Data::Json(own(text)),
            Data::Text(text) => Data::Text(own(text)),
            Data::Bytes(bytes) => Data::Bytes(own(bytes)),
            Data::Proto(url, bytes) => Data::Proto(own(url), own(bytes)),
        }
    }
}
