//! URI-references and URIs (RFC 3986), as far as an attribute must be one: the right characters,
//! whole percent-escapes, a proper scheme, brackets around an address only, one fragment.

const PLAIN: u8 = 1;
const COLON: u8 = 2;
const PERCENT: u8 = 3;
const HASH: u8 = 4;
const BRACKET: u8 = 5;
const END_OF_SEGMENT: u8 = 6;

/// What each byte may be; 0 for those that stand nowhere in a URI.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        classes[byte] = match c {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => PLAIN,
            b'-' | b'.' | b'_' | b'~' | b'@' => PLAIN,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => PLAIN,
            b':' => COLON,
            b'%' => PERCENT,
            b'#' => HASH,
            b'[' | b']' => BRACKET,
            b'/' | b'?' => END_OF_SEGMENT,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Whether a text is a URI-reference: a URI, or one relative to another.
pub(crate) fn is_reference(text: &str) -> bool {
    let Some((colon, brackets)) = scan(text.as_bytes()) else { return false };
    colon.is_none_or(|at| is_scheme(&text.as_bytes()[..at]))
        && (!brackets || brackets_are_right(text, colon))
}

/// Whether a text is a URI: it begins with a scheme.
pub(crate) fn is_absolute(text: &str) -> bool {
    matches!(scan(text.as_bytes()), Some((Some(_), _))) && is_reference(text)
}

/// `None` if a byte is out of place; else where the colon of the first segment stands, if any, and
/// whether there are brackets.
fn scan(text: &[u8]) -> Option<(Option<usize>, bool)> {
    let (mut colon, mut first_segment, mut hashes, mut brackets) = (None, true, 0, false);
    for (at, byte) in text.iter().enumerate() {
        match CLASSES[usize::from(*byte)] {
            PLAIN => {}
            BRACKET => brackets = true,
            COLON if first_segment => (colon, first_segment) = (Some(at), false),
            COLON => {}
            END_OF_SEGMENT => first_segment = false,
            PERCENT => {
                let digits = text.get(at + 1..at + 3)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
            }
            HASH if hashes == 0 => (hashes, first_segment) = (1, false),
            _ => return None,
        }
    }
    Some((colon, brackets))
}

pub(crate) fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// Square brackets may only stand around the address in an authority.
fn brackets_are_right(text: &str, colon: Option<usize>) -> bool {
    let after_scheme = &text[colon.map_or(0, |at| at + 1)..];
    let Some(rest) = after_scheme.strip_prefix("//") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest[authority.len()..].contains(['[', ']']) {
        return false;
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    let Some((address, port)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) else {
        return false;
    };
    let port_is_right =
        port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    let around = authority.len() - host.len();
    !address.contains('[')
        && !address.is_empty()
        && (port.is_empty() || port_is_right)
        && !authority[..around].contains(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for text in [
            "my-app",
            "/cloudevents/spec/pull/123",
            "https://github.com/cloudevents",
            "mailto:cncf-wg-serverless@lists.cncf.io",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "//github.com/a?b=c:d#e",
            "a/b:c",
            "http://[::1]:8080/x",
            "http://user@[fe80::1]/",
            "a%20b",
            "#fragment",
        ] {
            assert!(is_reference(text), "{text}");
        }
        for text in [
            "my app",
            "a%2",
            "a%zz",
            "1a:b",
            "a#b#c",
            "a<b",
            "a|b",
            "é",
            "a\\b",
            ":a",
            "a[0]",
            "http://[::1/x",
            "http://a/[b]",
            "http://[]/",
            "http://[::1]x/",
            "a\"b",
            "a^b",
            "a`b",
            "a{b}",
        ] {
            assert!(!is_reference(text), "{text}");
        }
    }

    #[test]
    fn only_uris_with_a_scheme_are_absolute() {
        assert!(is_absolute("https://example.com/schema#part"));
        assert!(is_absolute("urn:a"));
        assert!(!is_absolute("/schema"));
        assert!(!is_absolute("schema"));
        assert!(!is_absolute("//host/schema"));
    }
}
