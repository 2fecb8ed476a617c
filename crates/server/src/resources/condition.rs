//! Conditional requests (RFC 9110 §13): `If-Match`, `If-None-Match`, for resources, schemas and topics
//! and their revisions; `If-Modified-Since` for who reads and has no tag.

use annal_event::{Pattern, Position, Precondition, Query, Selector, Timestamp};
use http::{HeaderMap, HeaderName, header};

use crate::problem::{Code, Problem};

/// A change whose conditions were judged by what is visible is judged anew so often when others
/// change it meanwhile.
pub(crate) const TRIES_MAX: usize = 100;

/// What the headers of a request ask of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    matches: Option<Tags>,
    none_match: Option<Tags>,
    /// Seconds since 1970.
    modified_since: Option<u64>,
}

/// `*`, or a list of entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// Revisions; a tag that is none of ours is left out, for it matches nothing.
    List(Vec<Position>),
}

impl Tags {
    /// A weak tag is as good as a strong one where somebody asks for news, and none at all where
    /// somebody changes something (RFC 9110 §8.8.3.2, §13.1.1).
    fn of(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Problem> {
        let weak_counts = name == header::IF_NONE_MATCH;
        let mut tags = Vec::new();
        let mut given = false;
        for value in headers.get_all(&name) {
            given = true;
            let wrong = || {
                let detail = format!("{name} is `*`, or a list of ETags such as \"42\"");
                Problem::new(Code::InvalidRequest, detail)
            };
            let text = value.to_str().map_err(|_| wrong())?;
            if text.trim() == "*" {
                return Ok(Some(Tags::Any));
            }
            for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                let weak = tag.strip_prefix("W/");
                let opaque = weak.unwrap_or(tag);
                let opaque = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                let revision = opaque.ok_or_else(wrong)?.parse::<Position>();
                tags.extend(revision.into_iter().filter(|_| weak_counts || weak.is_none()));
            }
        }
        Ok(given.then_some(Tags::List(tags)))
    }

    fn has(&self, revision: Option<Position>) -> bool {
        match (self, revision) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::List(tags), Some(revision)) => tags.contains(&revision),
        }
    }
}

impl Conditions {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Conditions, Problem> {
        Ok(Conditions {
            matches: Tags::of(headers, header::IF_MATCH)?,
            none_match: Tags::of(headers, header::IF_NONE_MATCH)?,
            modified_since: modified_since(headers),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.matches.is_none() && self.none_match.is_none()
    }

    /// Whether a reader has this revision already: 304. Where there are tags, dates do not count;
    /// nor where the reader was not told when it was made.
    pub(crate) fn is_known(&self, revision: Position, made: Option<Timestamp>) -> bool {
        match (&self.none_match, self.modified_since.zip(made)) {
            (Some(tags), _) => tags.has(Some(revision)),
            (None, Some((since, made))) => seconds(made) <= since,
            (None, None) => false,
        }
    }

    /// Refuses a change of `what` if that does not stand as the headers ask; `revision` is `None`
    /// where there is none.
    pub(crate) fn check(&self, what: &str, revision: Option<Position>) -> Result<(), Problem> {
        let matches = self.matches.as_ref().is_none_or(|tags| tags.has(revision));
        let none_match = self.none_match.as_ref().is_none_or(|tags| !tags.has(revision));
        if matches && none_match {
            return Ok(());
        }
        let (detail, actual) = match revision {
            None => (format!("the {what} does not exist"), "null".to_owned()),
            Some(revision) => (
                format!("the {what} stands at revision {revision}; read it and decide anew"),
                format!("\"{revision}\""),
            ),
        };
        Err(Problem::new(Code::PreconditionFailed, detail)
            .with_status(412)
            .with_json("actual", format!("{{\"revision\":{actual}}}").as_bytes()))
    }

    /// What must hold where a change is ordered so that the conditions still hold there: since
    /// `head`, by which they were judged, no event of these types has come. Nothing, if nothing was
    /// asked.
    pub(crate) fn unchanged_since(&self, head: Position, types: [&str; 2]) -> Vec<Precondition> {
        if self.is_empty() {
            return Vec::new();
        }
        let types = types.map(|ty| Pattern::Exact(ty.to_owned())).to_vec();
        let query = Query::one(Selector { types, ..Selector::default() });
        vec![Precondition::Absent { query, after: head }]
    }
}

/// What `Last-Modified` says of a time: whole seconds since 1970.
pub(crate) fn seconds(time: Timestamp) -> u64 {
    time.micros().max(0) as u64 / 1_000_000
}

/// One valid date; anything else is as if it were not there (RFC 9110 §13.1.3).
fn modified_since(headers: &HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(header::IF_MODIFIED_SINCE).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    date.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn conditions(name: HeaderName, value: &'static str) -> Result<Conditions, Code> {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        Conditions::of(&headers).map_err(|problem| problem.code())
    }

    #[test]
    fn tags_are_compared_with_the_revision() {
        let holds = |name: HeaderName, value, revision: Option<u64>| {
            let conditions = conditions(name, value).expect("conditions");
            conditions.check("resource", revision.map(Position)).is_ok()
        };
        let (m, n) = (header::IF_MATCH, header::IF_NONE_MATCH);
        assert!(holds(m.clone(), "\"4\", \"42\"", Some(42)));
        assert!(!holds(m.clone(), "\"4\"", Some(42)));
        assert!(!holds(m.clone(), "\"theirs\"", Some(42)));
        assert!(!holds(m.clone(), "W/\"42\"", Some(42)), "a weak tag changes nothing");
        assert!(holds(m.clone(), "W/\"42\", \"42\"", Some(42)));
        assert!(holds(m.clone(), "*", Some(1)) && !holds(m.clone(), "*", None));
        assert!(holds(n.clone(), "*", None) && !holds(n.clone(), "*", Some(1)));
        assert!(!holds(n.clone(), "W/\"42\"", Some(42)));
        assert!(holds(n, "\"42\"", None));
        assert_eq!(conditions(m, "42"), Err(Code::InvalidRequest));
    }

    #[test]
    fn dates_count_where_there_is_no_tag() {
        let known = |headers: &[(HeaderName, &'static str)], micros| {
            let headers = headers.iter().cloned();
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(name, value);
            }
            let conditions = Conditions::of(&map).expect("conditions");
            conditions.is_known(Position(42), Some(Timestamp(micros)))
        };
        let (date, tag) = (header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH);
        let tenth = (date.clone(), "Thu, 01 Jan 1970 00:00:10 GMT");
        assert!(known(std::slice::from_ref(&tenth), 10_999_999), "Last-Modified has no fraction");
        assert!(!known(std::slice::from_ref(&tenth), 11_000_000));
        assert!(!known(&[tenth.clone(), (tag.clone(), "\"41\"")], 0), "a tag wins");
        assert!(known(&[tenth.clone(), (tag, "\"42\"")], 11_000_000), "a tag wins");
        assert!(!known(&[(date, "1970-01-01")], 0), "no such date");
        assert!(!known(&[tenth.clone(), tenth], 0), "two dates are none");
    }
}
