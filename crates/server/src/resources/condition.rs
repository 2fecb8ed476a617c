//! Conditional requests (RFC 9110 §13): `If-Match`, `If-None-Match`, for resources and their
//! revisions.

use annal_event::Position;
use http::{HeaderMap, HeaderName, header};

use crate::problem::{Code, Problem};

/// What the headers of a request ask of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    matches: Option<Tags>,
    none_match: Option<Tags>,
}

/// `*`, or a list of entity tags.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    /// Revisions; a tag that is none of ours is left out, for it matches nothing.
    List(Vec<Position>),
}

impl Tags {
    fn of(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Problem> {
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
                let opaque = tag.strip_prefix("W/").unwrap_or(tag);
                let opaque = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                tags.extend(opaque.ok_or_else(wrong)?.parse::<Position>());
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
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.matches.is_none() && self.none_match.is_none()
    }

    /// Whether a reader has this revision already: 304.
    pub(crate) fn is_known(&self, revision: Position) -> bool {
        self.none_match.as_ref().is_some_and(|tags| tags.has(Some(revision)))
    }

    /// Refuses a change of what does not stand as the headers ask; `revision` is `None` where there
    /// is no resource.
    pub(crate) fn check(&self, revision: Option<Position>) -> Result<(), Problem> {
        let matches = self.matches.as_ref().is_none_or(|tags| tags.has(revision));
        let none_match = self.none_match.as_ref().is_none_or(|tags| !tags.has(revision));
        if matches && none_match {
            return Ok(());
        }
        let (detail, actual) = match revision {
            None => ("the resource does not exist".to_owned(), "null".to_owned()),
            Some(revision) => (
                format!("the resource stands at revision {revision}; read it and decide anew"),
                format!("\"{revision}\""),
            ),
        };
        Err(Problem::new(Code::PreconditionFailed, detail)
            .with_status(412)
            .with_json("actual", format!("{{\"revision\":{actual}}}").as_bytes()))
    }
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
            conditions.check(revision.map(Position)).is_ok()
        };
        let (m, n) = (header::IF_MATCH, header::IF_NONE_MATCH);
        assert!(holds(m.clone(), "\"4\", \"42\"", Some(42)));
        assert!(!holds(m.clone(), "\"4\"", Some(42)));
        assert!(!holds(m.clone(), "\"theirs\"", Some(42)));
        assert!(holds(m.clone(), "*", Some(1)) && !holds(m.clone(), "*", None));
        assert!(holds(n.clone(), "*", None) && !holds(n.clone(), "*", Some(1)));
        assert!(!holds(n.clone(), "W/\"42\"", Some(42)));
        assert!(holds(n, "\"42\"", None));
        assert_eq!(conditions(m, "42"), Err(Code::InvalidRequest));
    }
}
