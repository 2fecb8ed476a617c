//! The URL that deliveries go to.

use http::{Uri, uri::Scheme};

/// Longest callback, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// A callback, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callback {
    pub(crate) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As it stands in `Host`.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

impl Callback {
    /// Reads a URL; an error says what is wrong with it.
    pub(crate) fn parse(url: &str) -> Result<Callback, &'static str> {
        if url.len() > URL_BYTES_MAX {
            return Err("a callback has at most 2,048 bytes");
        }
        if url.contains('#') {
            return Err("a callback has no fragment; leave out what begins with `#`");
        }
        let uri: Uri = url.parse().map_err(|_| {
            "a callback is a URL in ASCII, such as https://example.com/hook; percent-encode its \
             path, and write a name of other letters as xn--…"
        })?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err("a callback begins with https:// or http://"),
        };
        let authority = uri.authority().ok_or("a callback names a host")?;
        if authority.as_str().contains('@') {
            return Err("a callback has no user and password; use `headers` for credentials");
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err("a callback names a host");
        }
        let digits = authority.as_str().rsplit_once(':').map_or("", |(_, port)| port);
        let port = match authority.port_u16() {
            Some(0) => return Err("port 0 is no port"),
            Some(port) => port,
            None if !digits.is_empty() && !authority.as_str().ends_with(']') => {
                return Err("a port is a number from 1 to 65535");
            }
            None => {
                if secure {
                    443
                } else {
                    80
                }
            }
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let (host, authority) = (host.to_owned(), authority.as_str().to_owned());
        Ok(Callback { secure, host, port, authority, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_or_refused() {
        let one = Callback::parse("https://example.com/hook?a=1").expect("a callback");
        assert_eq!((one.secure, one.host.as_str(), one.port), (true, "example.com", 443));
        assert_eq!((one.authority.as_str(), one.target.as_str()), ("example.com", "/hook?a=1"));
        let two = Callback::parse("http://[::1]:8080").expect("a callback");
        assert_eq!((two.secure, two.host.as_str(), two.port), (false, "::1", 8080));
        assert_eq!((two.authority.as_str(), two.target.as_str()), ("[::1]:8080", "/"));
        let three = Callback::parse("http://[::1]/x").expect("a callback");
        assert_eq!((three.host.as_str(), three.port), ("::1", 80));
        let query = Callback::parse("http://h?a").expect("a callback");
        assert_eq!(query.target, "/?a");
        for wrong in [
            "",
            "/hook",
            "example.com/hook",
            "ftp://example.com/",
            "http://",
            "http:///x",
            "http://user:pw@example.com/",
            "http://example.com/#x",
            "http://exa mple.com/",
            "http://example.com:0/",
            "http://example.com:99999/",
            "http://é.example/",
            "http://[::1",
            "file:///etc/passwd",
            "gopher://x/",
            "http://a\r\nb/",
        ] {
            assert!(Callback::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Callback::parse(&format!("http://h/{}", "x".repeat(2_100))).is_err());
    }
}
