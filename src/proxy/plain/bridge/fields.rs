//! Which header fields go on, where hyper reads and writes them.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
};

use crate::proxy::plain::head::{Field, field};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Takes away what belongs to one connection, and what is the same to some readers: a name with `_` for `-`.
pub fn strip(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_of_hop = |name: &&HeaderName| match field(name.as_str()) {
        Field::Connection | Field::Hop | Field::TransferEncoding | Field::Te | Field::Upgrade => {
            true
        }
        // What says where a message ends, for whom it is and whose, is not the sender's to take away.
        Field::ContentLength | Field::Host | Field::Expect | Field::Forwarded => false,
        Field::TraceParent | Field::TraceState => false,
        Field::Other => named.contains(name),
    };
    let gone: Vec<HeaderName> = fields.keys().filter(is_of_hop).cloned().collect();
    for name in gone {
        fields.remove(name);
    }
}

/// Makes a request's fields those that the upstream gets.
pub fn of_request(fields: &mut HeaderMap, peer: &str, host: &str, trust: bool, h2: bool) {
    let trailers = fields
        .get_all(TE)
        .iter()
        .any(|value| value.as_bytes() == b"trailers");
    strip(fields);
    fields.remove(TE);
    if trailers && h2 {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    if !trust {
        let is_said = |name: &&HeaderName| field(name.as_str()) == Field::Forwarded;
        let gone: Vec<HeaderName> = fields.keys().filter(is_said).cloned().collect();
        for name in gone {
            fields.remove(name);
        }
    }
    let before = fields
        .get_all(FOR)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let each: Vec<&str> = before.chain([peer]).collect();
    if let Ok(each) = HeaderValue::from_str(&each.join(", ")) {
        fields.insert(FOR, each);
    }
    if !fields.contains_key(PROTO) {
        fields.insert(PROTO, HeaderValue::from_static("http"));
    }
    if !fields.contains_key(FORWARDED_HOST)
        && !host.is_empty()
        && let Ok(host) = HeaderValue::from_str(host)
    {
        fields.insert(FORWARDED_HOST, host);
    }
}

/// Makes them those of a request in HTTP/1.1: one length at most, cookies in one field (RFC 9113, 8.2.3), and a body
/// of unknown length in chunks, whatever the method.
pub fn for_http1(fields: &mut HeaderMap, is_empty: bool) {
    if let Some(length) = fields.remove(CONTENT_LENGTH) {
        fields.insert(CONTENT_LENGTH, length);
    } else if !is_empty {
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let cookies: Vec<&[u8]> = fields
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        fields.insert(COOKIE, joined);
    }
}
