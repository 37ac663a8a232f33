//! Header fields that mean something between two hops, and the lines they stand in.
//!
//! Promise: what belongs to one connection stays there, and so does what `Connection` names.
//! Cost: a field that means nothing here is one comparison of lengths, and of a letter.

use httparse::Header;

/// More names in `Connection` than this are refused.
const MAX_NOMINATED: usize = 16;

/// A field that the proxy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Connection,
    /// Of one hop, and of no further use here.
    Hop,
    ContentLength,
    TransferEncoding,
    Host,
    Expect,
    Te,
    Upgrade,
    /// What proxies say of the client: `Forwarded`, `X-Real-IP`, and all that begins with `X-Forwarded-`.
    Forwarded,
    /// The trace that a request belongs to.
    TraceParent,
    /// What others have to say of it.
    TraceState,
    Other,
}

/// Which field a name is. One that differs by `_` for `-` alone is the same to some readers: it is of no further
/// use here.
pub fn field(name: &str) -> Field {
    let is = |known: &str| {
        let mut pairs = name.bytes().zip(known.bytes());
        pairs.all(|(byte, known)| {
            byte.to_ascii_lowercase() == known || (byte == b'_' && known == b'-')
        })
    };
    let found = match name.len() {
        2 if is("te") => Field::Te,
        4 if is("host") => Field::Host,
        6 if is("expect") => Field::Expect,
        7 if is("upgrade") => Field::Upgrade,
        9 if is("forwarded") || is("x-real-ip") => Field::Forwarded,
        10 if is("connection") => Field::Connection,
        10 if is("keep-alive") => Field::Hop,
        10 if is("tracestate") => Field::TraceState,
        11 if is("traceparent") => Field::TraceParent,
        14 if is("content-length") => Field::ContentLength,
        14 if is("http2-settings") => Field::Hop,
        16 if is("proxy-connection") => Field::Hop,
        17 if is("transfer-encoding") => Field::TransferEncoding,
        18 if is("proxy-authenticate") => Field::Hop,
        19 if is("proxy-authorization") => Field::Hop,
        // As far as both go: whoever believes one of them may believe any other.
        13.. if is("x-forwarded-") => Field::Forwarded,
        _ => return Field::Other,
    };
    match name.contains('_') {
        true => Field::Hop,
        false => found,
    }
}

/// Whether a protocol would carry requests past the proxy's eyes.
pub fn hides_requests(upgrade: &[u8]) -> bool {
    upgrade.split(|byte| *byte == b',').any(|protocol| {
        let protocol = protocol.trim_ascii();
        let begins = |known: &[u8]| {
            let start = protocol.get(..known.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(known))
        };
        begins(b"h2") || begins(b"http") || begins(b"tls")
    })
}

/// Whether a field may not come after a body: it would change how the message was to be read.
pub fn is_forbidden_trailer(name: &str) -> bool {
    const MORE: [&str; 8] = [
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "set-cookie",
        "trailer",
    ];
    field(name) != Field::Other || MORE.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What `Connection` says.
#[derive(Default)]
pub struct Nominated<'a> {
    names: [&'a [u8]; MAX_NOMINATED],
    count: usize,
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl<'a> Nominated<'a> {
    /// Reads one field; `false`: it names too much.
    #[must_use]
    pub fn read(&mut self, value: &'a [u8]) -> bool {
        for token in value.split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            let is = |known: &str| token.eq_ignore_ascii_case(known.as_bytes());
            match token.len() {
                0 => {}
                5 if is("close") => self.close = true,
                7 if is("upgrade") => self.upgrade = true,
                10 if is("keep-alive") => self.keep_alive = true,
                _ if self.count == MAX_NOMINATED => return false,
                _ => {
                    self.names[self.count] = token;
                    self.count += 1;
                }
            }
        }
        true
    }

    /// Whether a field is named, and so stays on its connection.
    pub fn has(&self, name: &str) -> bool {
        let mut names = self.names[..self.count].iter();
        names.any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Appends a field as it came.
#[inline]
pub fn push(to: &mut Vec<u8>, header: &Header<'_>) {
    push_parts(to, header.name.as_bytes(), header.value);
}

/// Appends a field.
#[inline]
pub fn push_parts(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.reserve(name.len() + value.len() + 4);
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

/// Whether each line of a head ends as it should, with both bytes: some readers take one for the other.
pub fn has_whole_lines(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).all(|at| at > 0 && head[at - 1] == b'\r')
}

/// Appends a number in decimal.
pub fn push_number(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break to.extend_from_slice(&digits[at..]);
        }
    }
}
