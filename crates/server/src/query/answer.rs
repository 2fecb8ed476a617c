//! The answer: what was found, fetched from where documents are kept, as JSON.

use annal_engine::{
    AskError, Facet, FacetValue, Found as Stored, Highlighter, Hit, HitKey, ReadError,
    SEARCH_DEPTH_MAX, Searcher, View, data_text,
};
use annal_event::{EventError, Position, ResourceKey, StoredEvent};

use super::asked::Asked;
use crate::json_text::{push_number, push_position, push_string};

/// A page ends early when its documents have so many bytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A page of results.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<usize>,
}

/// Why there is no answer.
pub(super) enum Failure {
    Ask(AskError),
    Read(ReadError),
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Failure {
        Failure::Ask(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        Failure::Read(error)
    }
}

/// Answers what is asked.
pub(super) fn answer(view: &View, searcher: &Searcher, asked: &Asked) -> Result<Answer, Failure> {
    let found = asked.with_query(|query| searcher.query(query))?;
    let highlighter = match asked.highlight {
        true => Some(asked.with_query(|query| searcher.highlighter(query))?),
        false => None,
    };
    let mut page = Page { view, highlighter, out: Vec::new(), results: 0 };
    page.out.extend_from_slice(b"{\"query\":");
    push_string(&mut page.out, &asked.text);
    page.out.extend_from_slice(b",\"count\":");
    push_number(&mut page.out, found.count);
    page.out.extend_from_slice(b",\"results\":[");
    let mut looked_at = 0;
    for hit in &found.hits {
        if page.out.len() > PAGE_BYTES_MAX {
            break;
        }
        page.push(hit)?;
        looked_at += 1;
    }
    let mut out = page.out;
    out.push(b']');
    push_facets(&mut out, &found.facets);
    if asked.histogram.is_some() {
        out.extend_from_slice(b",\"histogram\":[");
        for (place, bucket) in found.histogram.iter().enumerate() {
            out.extend_from_slice(if place > 0 { b",{\"start\":" } else { b"{\"start\":" });
            push_string(&mut out, &bucket.start.to_string().replace(".000000Z", "Z"));
            out.extend_from_slice(b",\"count\":");
            push_number(&mut out, bucket.count);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
    Ok(Answer { body: out, next: next(asked.offset, asked.limit, looked_at, found.count) })
}

/// Where the next page begins; none where it would be refused for its depth.
fn next(offset: usize, limit: usize, looked_at: usize, count: u64) -> Option<usize> {
    let next = offset + looked_at;
    let within = next.saturating_add(limit) <= SEARCH_DEPTH_MAX;
    (looked_at > 0 && (next as u64) < count && within).then_some(next)
}

struct Page<'v> {
    view: &'v View,
    highlighter: Option<Highlighter>,
    out: Vec<u8>,
    results: usize,
}

impl Page<'_> {
    /// Adds a result, unless it was deleted since it was found.
    fn push(&mut self, hit: &Hit) -> Result<(), ReadError> {
        match &hit.key {
            HitKey::Resource(key) => {
                let Some(key) = ResourceKey::from_text(key) else { return Ok(()) };
                let Some(document) = self.view.resource_of(&key)? else { return Ok(()) };
                let Some(text) = document.text() else { return Ok(()) };
                self.begin(&format!("{}-{}", key.ty(), key.id()), key.ty(), Some(text));
                let subject = document.subject().map(str::to_owned);
                self.text("subject", &subject.unwrap_or_else(|| key.to_string()));
                self.position("revision", document.revision());
                self.end(hit, Some(text));
            }
            HitKey::Event(position) => match self.view.get(*position)? {
                Stored::Event(stored) => self.event(hit, &stored)?,
                Stored::Deleted | Stored::Nothing => {}
            },
        }
        Ok(())
    }

    fn event(&mut self, hit: &Hit, stored: &StoredEvent) -> Result<(), ReadError> {
        let position = stored.position();
        let damaged = |source: EventError| ReadError::Record { position, source };
        let event = stored.event().map_err(damaged)?;
        let text = data_text(&event.data);
        self.begin(&event.id, &event.ty, text.as_deref());
        self.text("source", &event.source);
        if let Some(subject) = &event.subject {
            self.text("subject", subject);
        }
        self.position("position", position);
        self.end(hit, text.as_deref());
        Ok(())
    }

    fn begin(&mut self, id: &str, doc_type: &str, content: Option<&str>) {
        if self.results > 0 {
            self.out.push(b',');
        }
        self.results += 1;
        self.out.extend_from_slice(b"{\"id\":");
        push_string(&mut self.out, id);
        self.text("doc_type", doc_type);
        match content {
            Some(content) => self.text("content", content),
            None => self.out.extend_from_slice(b",\"content\":null"),
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        push_string(&mut self.out, text);
    }

    fn position(&mut self, name: &str, position: Position) {
        self.name(name);
        push_position(&mut self.out, position);
    }

    fn name(&mut self, name: &str) {
        self.out.push(b',');
        push_string(&mut self.out, name);
        self.out.push(b':');
    }

    fn end(&mut self, hit: &Hit, content: Option<&str>) {
        if let Some(score) = hit.score {
            self.name("score");
            push_json(&mut self.out, &score);
        }
        if let Some(highlighter) = &mut self.highlighter {
            let snippets = content.map(|content| highlighter.snippets(content));
            let mut paths: Vec<(String, Vec<String>)> = Vec::new();
            for snippet in snippets.unwrap_or_default() {
                match paths.iter_mut().find(|(path, _)| *path == snippet.path) {
                    Some((_, pieces)) => pieces.push(snippet.html),
                    None => paths.push((snippet.path, vec![snippet.html])),
                }
            }
            self.name("highlight");
            self.out.push(b'{');
            for (place, (path, pieces)) in paths.iter().enumerate() {
                if place > 0 {
                    self.out.push(b',');
                }
                push_string(&mut self.out, path);
                self.out.push(b':');
                push_json(&mut self.out, pieces);
            }
            self.out.push(b'}');
        }
        self.out.push(b'}');
    }
}

/// `"facets":{"status":[{"value":"open","count":3}]}`, and what a facet does not list.
fn push_facets(out: &mut Vec<u8>, facets: &[Facet]) {
    if facets.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"facets\":{");
    for (place, facet) in facets.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, &facet.path);
        out.extend_from_slice(b":[");
        for (place, value) in facet.values.iter().enumerate() {
            out.extend_from_slice(if place > 0 { b",{\"value\":" } else { b"{\"value\":" });
            match &value.value {
                FacetValue::Text(text) => push_string(out, text),
                FacetValue::Signed(number) => push_json(out, number),
                FacetValue::Unsigned(number) => push_number(out, *number),
                FacetValue::Float(number) => push_json(out, number),
                FacetValue::Bool(value) => push_json(out, value),
            }
            out.extend_from_slice(b",\"count\":");
            push_number(out, value.count);
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
    let mut long = facets.iter().filter(|facet| facet.other_values > 0).peekable();
    if long.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"facets_not_listed\":{");
    for (place, facet) in long.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_string(out, &facet.path);
        out.extend_from_slice(b":{\"values\":");
        push_number(out, facet.other_values);
        out.extend_from_slice(b",\"count\":");
        push_number(out, facet.other_count);
        out.push(b'}');
    }
    out.push(b'}');
}

/// A number that is no number (which scores never are) becomes `null`.
fn push_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    match serde_json::to_vec(value) {
        Ok(json) => out.extend_from_slice(&json),
        Err(_) => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_to_a_page_that_is_refused() {
        assert_eq!(next(0, 50, 50, 20_000), Some(50));
        assert_eq!(next(9_900, 50, 50, 20_000), Some(9_950));
        assert_eq!(next(9_950, 50, 50, 20_000), None);
        assert_eq!(next(9_000, 1_000, 400, 20_000), None, "a page that ended early");
        assert_eq!([next(0, 50, 50, 50), next(0, 0, 0, 50)], [None, None]);
    }
}
