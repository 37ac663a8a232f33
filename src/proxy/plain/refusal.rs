//! Answers of the proxy itself: what is refused, and with which status.
//!
//! Promise: each is whole and short, says what to do, and ends its connection where the rest of the request
//! cannot be told from the next one.

use std::io::Write;

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// What is wrong, for people.
    pub reason: &'static str,
}

impl Refusal {
    /// The syntax is wrong, or allows two readings.
    pub const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }

    /// A refusal with this status.
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// How long its body is: the reason, on a line.
    pub fn body_bytes(self) -> u64 {
        self.reason.len() as u64 + 1
    }

    /// Appends the answer.
    pub fn write(self, to: &mut Vec<u8>, close: bool, is_head: bool) {
        let Self { status, reason } = self;
        let closing = if close { "connection: close\r\n" } else { "" };
        let again = if status == 503 {
            "retry-after: 1\r\n"
        } else {
            ""
        };
        let body = if is_head { "" } else { reason };
        // A write to a vector does not fail.
        let _ = write!(
            to,
            "HTTP/1.1 {status} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n{again}{closing}\r\n{body}{}",
            phrase(status),
            self.body_bytes(),
            if is_head { "" } else { "\n" },
        );
    }
}

fn phrase(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused")
}

/// The target is too long.
pub const LONG_TARGET: Refusal = Refusal::new(
    414,
    "the target of the request is longer than this proxy takes",
);
/// There are too many fields.
pub const TOO_MANY_FIELDS: Refusal =
    Refusal::new(431, "there are more header fields than this proxy takes");
/// No host is named.
pub const NO_HOST: Refusal = Refusal::bad("there is no Host");
/// Another use of the connection is asked for.
pub const NO_TUNNELS: Refusal = Refusal::new(501, "this proxy opens no tunnels");
/// More is expected than can be.
pub const UNEXPECTED: Refusal = Refusal::new(417, "only 100-continue can be expected");
/// The target is not what may stand in a head.
pub const UNESCAPED: Refusal = Refusal::bad("the target has bytes that have to be escaped");
/// Another protocol is asked for where it cannot be passed on.
pub const MISDIRECTED: Refusal = Refusal::new(
    421,
    "this connection passes on no other protocol any more: ask on a fresh one",
);
/// No route fits.
pub const NO_ROUTE: Refusal = Refusal::new(404, "no route of this proxy fits the host and path");
/// The path goes up, out of what its route allows.
pub const ESCAPES: Refusal = Refusal::new(
    400,
    "the path goes up with `..`: write the one that is meant",
);
/// Nothing was left to try.
pub const NO_ADDRESS: Refusal = Refusal::new(
    503,
    "every address of the upstream is left alone for a while, because it failed",
);
/// A dial failed.
pub const UNREACHABLE: Refusal = Refusal::new(502, "the upstream cannot be reached");
/// All connections are in use.
pub const BUSY: Refusal = Refusal::new(503, "every connection to the upstream is in use");
/// None came free, and none could be opened.
pub const NONE_IN_TIME: Refusal = Refusal::new(
    504,
    "no connection to the upstream came free, or could be opened, in time",
);
/// The system gives the proxy nothing to open one with.
pub const NO_MEANS: Refusal = Refusal::new(
    503,
    "this proxy can open no connection: it is short of descriptors, ports or memory",
);
/// The upstream was too slow.
pub const LATE: Refusal = Refusal::new(504, "the upstream did not answer in time");
/// The answer broke off before it began.
pub const BROKEN: Refusal =
    Refusal::new(502, "the upstream closed the connection without an answer");
/// The upstream said that there is none.
pub const REFUSED: Refusal = Refusal::new(502, "the upstream refused, or broke off, the request");
/// The answer is none.
pub const BAD_ANSWER: Refusal = Refusal::new(502, "the upstream's answer is not valid HTTP");
/// The body is longer than allowed.
pub const TOO_LARGE: Refusal =
    Refusal::new(413, "the request's body is longer than this proxy takes");
/// The client's body ended before its end, or is not in valid chunks.
pub const BROKEN_BODY: Refusal = Refusal::bad("the body broke off, or is not in valid chunks");
/// The client was too slow.
pub const SLOW_CLIENT: Refusal = Refusal::new(408, "the request did not arrive in time");
