//! Heads of answers where hyper writes them: those that an upstream gave, and the proxy's own.
//!
//! Promise: an answer that could be read in two ways is not passed on, whatever it came in; nothing of the upstream's
//! connection reaches the client.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::{Response, StatusCode, Version};

use super::body::{Download, Words};
use super::fields;
use super::tries::Given;
use crate::proxy::plain::head::{Framing, MOST_FIELDS, Said};
use crate::proxy::plain::refusal::Refusal;

/// Whether an answer means the same to every reader: one length at most, or chunks; no more fields than may be, and no
/// other protocol that nobody asked for.
pub fn is_clear(answer: &Response<Incoming>) -> bool {
    let (fields, mut said) = (answer.headers(), Said::default());
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    fields.len() <= MOST_FIELDS
        && answer.status() != StatusCode::SWITCHING_PROTOCOLS
        && lengths.all(|one| said.length(one.as_bytes()).is_ok())
        && codings.all(|one| said.coding(one.as_bytes()).is_ok())
        && said
            .framing(answer.version() == Version::HTTP_10, Framing::Close)
            .is_ok()
}

/// What an upstream gave.
pub fn of_upstream(given: Given) -> Response<Words> {
    let (mut head, body) = given.answer.into_parts();
    fields::strip(&mut head.headers);
    if head.status == StatusCode::NO_CONTENT {
        head.headers.remove(CONTENT_LENGTH);
    }
    head.version = Version::default();
    let body = Download::new(body, given.hold, given.flight, given.upload, given.begun);
    Response::from_parts(head, Words::Download(Box::new(body)))
}

/// What the proxy says itself.
pub fn own(refusal: Refusal, is_head: bool) -> Response<Words> {
    let text = match is_head {
        true => Bytes::new(),
        false => Bytes::from(format!("{}\n", refusal.reason)),
    };
    let mut answer = Response::new(Words::Own(Full::new(text)));
    *answer.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields = answer.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    fields.insert(CONTENT_TYPE, plain);
    fields.insert(CONTENT_LENGTH, refusal.body_bytes().into());
    if refusal.status == 503 {
        fields.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// Says that the connection in HTTP/1.1 ends with this answer.
pub fn close<B>(answer: &mut Response<B>) {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
}
