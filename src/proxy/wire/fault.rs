//! What can go wrong with a call, as both sides see it: an HTTP status and a JSON-RPC error.
//!
//! Promise: every refusal of the proxy is one of these; its text says what to do next.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::quote;

/// The kind of a fault; `data.kind` of the JSON-RPC error names it for machines.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON.
    NotJson,
    /// JSON, but not a message that is allowed here.
    BadMessage,
    /// A header is missing or cannot be read.
    BadHeader,
    /// The protocol revision is not spoken here.
    UnsupportedVersion,
    /// A header says something else than the body.
    HeaderMismatch,
    /// The parameters lack what the revision asks for.
    BadParams,
    /// The revision knows no such method, or no longer.
    NoSuchMethod,
    /// `Host` or `Origin` is not allowed.
    Forbidden,
    /// No such page.
    NoSuchPath,
    /// The session is unknown or has ended: initialize again.
    SessionEnded,
    /// The path does not know this HTTP method.
    WrongHttpMethod,
    /// The same, where it knows POST alone.
    PostOnly,
    /// The client does not take what the endpoint produces.
    NotAcceptable,
    /// The body is too large.
    TooLarge,
    /// The body did not arrive in time.
    SlowBody,
    /// The body is not JSON by its `Content-Type`.
    WrongMediaType,
    /// The method is not offered in this mode.
    NotOffered,
    /// The request was cancelled by its client.
    Cancelled,
    /// The child ended before it answered.
    ChildDied,
    /// No child could be started.
    NoChild,
    /// Every child is at its limit.
    Busy,
    /// The server is shutting down.
    Closing,
    /// The child did not answer in time.
    TimedOut,
    /// The upstream failed too often lately; nothing was tried.
    CircuitOpen,
    /// The upstream failed: over HTTP by a status of its own trouble, or no answer in its reply; a child by an
    /// answer that cannot be read.
    UpstreamFailed,
    /// The upstream over HTTP refused the message; its status is passed on.
    UpstreamRefused,
    /// The answer went to a connection that broke, and is not kept.
    AnswerLost,
}

impl Code {
    /// The HTTP status of an answer that is nothing but this fault.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotJson
            | Self::BadMessage
            | Self::BadHeader
            | Self::HeaderMismatch
            | Self::BadParams
            | Self::UnsupportedVersion => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoSuchPath | Self::SessionEnded | Self::NoSuchMethod => StatusCode::NOT_FOUND,
            Self::WrongHttpMethod | Self::PostOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::WrongMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            // The exchange itself worked: official clients read the JSON-RPC error only from a 2xx, and
            // take anything else for a broken transport.
            Self::NotOffered | Self::Cancelled | Self::ChildDied | Self::AnswerLost => {
                StatusCode::OK
            }
            Self::NoChild | Self::Busy | Self::Closing | Self::CircuitOpen => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamFailed | Self::UpstreamRefused => StatusCode::BAD_GATEWAY,
        }
    }

    /// The number of the JSON-RPC error.
    pub fn number(self) -> i32 {
        match self {
            Self::NotJson => -32700,
            Self::BadMessage => -32600,
            Self::NotOffered | Self::NoSuchMethod => -32601,
            Self::BadParams => -32602,
            Self::HeaderMismatch => -32020,
            Self::SessionEnded => -32001,
            // As revision 2026-07-28 names it, whose clients then fall back to one that is listed.
            Self::UnsupportedVersion => -32022,
            Self::Cancelled => -32800,
            Self::ChildDied => -32050,
            Self::NoChild => -32051,
            Self::Busy => -32052,
            Self::Closing => -32053,
            Self::TimedOut => -32054,
            Self::CircuitOpen => -32055,
            Self::UpstreamFailed => -32056,
            Self::UpstreamRefused => -32057,
            Self::AnswerLost => -32058,
            _ => -32000,
        }
    }

    /// The name in `data.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::BadMessage => "bad_message",
            Self::BadHeader => "bad_header",
            Self::UnsupportedVersion => "unsupported_version",
            Self::HeaderMismatch => "header_mismatch",
            Self::BadParams => "bad_params",
            Self::NoSuchMethod => "no_such_method",
            Self::Forbidden => "forbidden",
            Self::NoSuchPath => "no_such_path",
            Self::SessionEnded => "session_ended",
            Self::WrongHttpMethod | Self::PostOnly => "wrong_http_method",
            Self::NotAcceptable => "not_acceptable",
            Self::TooLarge => "too_large",
            Self::SlowBody => "slow_body",
            Self::WrongMediaType => "wrong_media_type",
            Self::NotOffered => "not_offered",
            Self::Cancelled => "cancelled",
            Self::ChildDied => "child_died",
            Self::NoChild => "no_child",
            Self::Busy => "busy",
            Self::Closing => "closing",
            Self::TimedOut => "timed_out",
            Self::CircuitOpen => "circuit_open",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamRefused => "upstream_refused",
            Self::AnswerLost => "answer_lost",
        }
    }

    /// Seconds after which a client may try again, where that helps.
    fn retry_after(self) -> Option<u64> {
        matches!(self, Self::NoChild | Self::Busy | Self::Closing).then_some(1)
    }
}

/// A refusal or failure with its text.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What kind it is.
    pub code: Code,
    /// What happened and what to do.
    pub message: String,
    /// Seconds after which a client may try again, where that helps.
    pub retry_after: Option<u64>,
    /// The protocol revisions that are spoken here, where that is what was wrong.
    pub supported: &'static [&'static str],
    /// The peer did not look at the request: another one may have it.
    pub not_run: bool,
    /// What an upstream over HTTP said in the head of its refusal.
    pub passed: Option<Box<Passed>>,
}

/// The head of an upstream's refusal, as far as it goes on to the client.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its status.
    pub status: StatusCode,
    /// Whom it wants to see: each way of showing it a header of its own.
    pub challenges: Vec<HeaderValue>,
}

/// Statuses of a server's door: what is behind it was not asked.
pub const GATEKEEPERS: [StatusCode; 6] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::PROXY_AUTHENTICATION_REQUIRED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
];

impl Fault {
    /// A fault of a kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: code.retry_after(),
            supported: &[],
            not_run: false,
            passed: None,
        }
    }

    /// The refusal of a proxy that ends: nothing was done.
    pub fn closing() -> Self {
        let text = "the proxy is shutting down; try another one or later";
        Self::new(Code::Closing, text)
    }

    /// The refusal of an upstream over HTTP: that of the client's message goes on with its status, trouble
    /// of the upstream's own is one here, too.
    pub fn passed_on(status: StatusCode, headers: &HeaderMap, text: &str) -> Self {
        let said = if text.is_empty() { "" } else { ": " };
        let text = format!("the upstream answered {status}{said}{text}");
        let seconds = || headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok();
        if status.is_client_error() {
            let challenges = headers.get_all(WWW_AUTHENTICATE).iter().cloned();
            let passed = Passed {
                status,
                challenges: challenges.collect(),
            };
            return Self {
                retry_after: seconds(),
                passed: Some(Box::new(passed)),
                ..Self::new(Code::UpstreamRefused, text)
            };
        }
        Self {
            retry_after: seconds(),
            ..Self::new(Code::UpstreamFailed, text)
        }
    }

    /// Whether it says that nobody was there: no connection, or one that broke off.
    pub fn is_silence(&self) -> bool {
        matches!(self.code, Code::NoChild | Code::ChildDied)
    }

    /// The HTTP status of an answer that is nothing but this fault.
    pub fn status(&self) -> StatusCode {
        let passed = self.passed.as_ref().map(|passed| passed.status);
        passed.unwrap_or_else(|| self.code.status())
    }

    /// Says that the peer did not look at the request.
    pub fn not_run(mut self) -> Self {
        self.not_run = true;
        self
    }

    /// Names the time after which a client may try again.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause.as_millis().div_ceil(1000) as u64);
        self
    }

    /// The JSON-RPC error response for the request with this raw id (`null` where none is known).
    pub fn to_json(&self, id: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.message.len());
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id.unwrap_or(b"null"));
        let (number, name) = (self.code.number(), self.code.name());
        let message = quote(&self.message);
        let supported = match self.supported {
            [] => String::new(),
            versions => format!(",\"supported\":[\"{}\"]", versions.join("\",\"")),
        };
        out.extend_from_slice(
            format!(",\"error\":{{\"code\":{number},\"message\":{message},\"data\":{{\"kind\":\"{name}\"{supported}}}}}}}").as_bytes(),
        );
        out
    }
}
