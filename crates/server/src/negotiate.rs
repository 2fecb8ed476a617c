//! What a client accepts: media types and encodings with their weights (RFC 9110 §12.5).

use http::{HeaderMap, HeaderName, header};

/// One entry of an `Accept…` header.
struct Accepted<'h> {
    name: &'h str,
    /// Weight in thousandths.
    weight: u16,
}

/// Picks the offer that the client likes best; of equals the one offered first. `None`: no offer
/// is acceptable. Without an `Accept` header the first offer is.
pub(crate) fn media_type<'o>(headers: &HeaderMap, offers: &[&'o str]) -> Option<&'o str> {
    if !headers.contains_key(header::ACCEPT) {
        return offers.first().copied();
    }
    let accepted = entries(headers, &header::ACCEPT);
    let best = offers.iter().map(|offer| (media_weight(&accepted, offer), *offer));
    pick(best)
}

fn pick<'o>(weighted: impl Iterator<Item = (u16, &'o str)>) -> Option<&'o str> {
    let mut best: Option<(u16, &str)> = None;
    for (weight, offer) in weighted {
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// The most specific entry that covers the offer decides its weight.
fn media_weight(accepted: &[Accepted<'_>], offer: &str) -> u16 {
    let kind = offer.split_once('/').map_or(offer, |(kind, _)| kind);
    let specificity = |name: &str| {
        if name.eq_ignore_ascii_case(offer) {
            return 3;
        }
        match name.split_once('/') {
            Some(("*", "*")) => 1,
            Some((have, "*")) if have.eq_ignore_ascii_case(kind) => 2,
            _ => 0,
        }
    };
    let covering = accepted.iter().map(|entry| (specificity(entry.name), entry.weight));
    covering.filter(|(specificity, _)| *specificity > 0).max().map_or(0, |(_, weight)| weight)
}

/// How a response is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Picks a compression. zstd before gzip where the client does not mind; none unless asked for.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    let accepted = entries(headers, &header::ACCEPT_ENCODING);
    let weight_of = |name: &str| {
        let exact = accepted.iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
        exact.or_else(|| accepted.iter().find(|entry| entry.name == "*")).map(|entry| entry.weight)
    };
    let zstd = weight_of("zstd").unwrap_or(0);
    let gzip = weight_of("gzip").or_else(|| weight_of("x-gzip")).unwrap_or(0);
    let identity = accepted.iter().find(|entry| entry.name == "identity");
    let identity = identity.map_or(0, |entry| entry.weight);
    match pick([(zstd, "zstd"), (gzip, "gzip"), (identity, "identity")].into_iter()) {
        Some("zstd") => Encoding::Zstd,
        Some("gzip") => Encoding::Gzip,
        _ => Encoding::Identity,
    }
}

fn entries<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<Accepted<'h>> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(entry).collect()
}

fn entry(text: &str) -> Option<Accepted<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = match weight {
        None => 1_000,
        Some(text) => match text.trim().parse::<f32>() {
            Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0).round() as u16,
            _ => return None,
        },
    };
    Some(Accepted { name, weight })
}

/// A media type without its parameters.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accept(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_best_liked_offer_wins() {
        let offers = ["application/json", "application/x-ndjson", "text/event-stream"];
        let pick = |value| media_type(&accept(header::ACCEPT, value), &offers);
        assert_eq!(media_type(&HeaderMap::new(), &offers), Some("application/json"));
        assert_eq!(pick("*/*"), Some("application/json"));
        assert_eq!(pick("text/*, application/json;q=0.5"), Some("text/event-stream"));
        assert_eq!(pick("application/json;q=0, */*;q=0.1"), Some("application/x-ndjson"));
        assert_eq!(pick("text/html"), None);
        assert_eq!(pick("TEXT/EVENT-STREAM"), Some("text/event-stream"));
    }

    #[test]
    fn compression_only_when_asked_for() {
        let pick = |value| encoding(&accept(header::ACCEPT_ENCODING, value));
        assert_eq!(encoding(&HeaderMap::new()), Encoding::Identity);
        assert_eq!(pick("gzip, deflate, br, zstd"), Encoding::Zstd);
        assert_eq!(pick("gzip"), Encoding::Gzip);
        assert_eq!(pick("zstd;q=0.1, gzip"), Encoding::Gzip);
        assert_eq!(pick("zstd;q=0, gzip;q=0"), Encoding::Identity);
        assert_eq!(pick("br"), Encoding::Identity);
        assert_eq!(pick("identity, gzip;q=0.5"), Encoding::Identity);
    }
}
