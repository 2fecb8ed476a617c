//! `Link: …; rel="next"` (RFC 8288): where a list goes on.

use http::request::Parts;

use crate::percent;

/// The request's own address, for the one of the next page.
pub(crate) struct Link {
    path: String,
    /// As they came, percent-encoded.
    query: Vec<(String, String)>,
}

impl Link {
    pub(crate) fn of(head: &Parts) -> Link {
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Link { path: head.uri.path().to_owned(), query }
    }

    /// The header's value for the page on which parameter `moving` has another value.
    pub(crate) fn next(&self, moving: &str, value: &str) -> String {
        let mut link = format!("<{}?", self.path);
        for (name, value) in self.query.iter().filter(|(name, _)| name != moving) {
            link.push_str(name);
            link.push('=');
            link.push_str(value);
            link.push('&');
        }
        percent::encode(moving, &mut link);
        link.push('=');
        percent::encode(value, &mut link);
        link.push_str(">; rel=\"next\"");
        link
    }
}
