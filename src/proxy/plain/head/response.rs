//! The head of an answer: read once, checked, written anew for the client.
//!
//! Promise: the client can tell where the answer ends, whatever the upstream's way to say so; nothing of
//! the upstream's connection reaches it.
//! Cost: one pass to read and one to write.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::fields::{Field, Nominated, field, has_whole_lines, push, push_number};
use super::framing::{Framing, Said};
use super::request::MOST_FIELDS;

/// What of the request decides how the answer is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// It asked for the head only.
    pub is_head: bool,
    /// It speaks HTTP/1.0.
    pub is_old: bool,
    /// Its connection stays, as far as it is asked.
    pub keep_alive: bool,
    /// It asked for another protocol.
    pub upgrade: bool,
}

/// What is known of an answer once its head is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// How long its head was.
    pub head_bytes: usize,
    /// Where its body ends.
    pub framing: Framing,
    /// How it goes to the client.
    pub writing: Framing,
    /// Whether the upstream's connection may be used again.
    pub reusable: bool,
    /// Whether the client's may.
    pub keep_alive: bool,
}

/// An answer that is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Reads the head at the start of `bytes` and appends what the client gets; `None`: there is more to
/// come.
///
/// # Errors
///
/// [`Invalid`].
pub fn parse(bytes: &[u8], client: Client, to: &mut Vec<u8>) -> Result<Option<Response>, Invalid> {
    let mut room = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
    let mut head = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut head, bytes, &mut room);
    let head_bytes = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Invalid),
    };
    let (Some(status), Some(version)) = (head.code, head.version) else {
        return Err(Invalid);
    };
    if !has_whole_lines(&bytes[..head_bytes]) || !(100..=999).contains(&status) {
        return Err(Invalid);
    }
    let (mut said, mut nominated) = (Said::default(), Nominated::default());
    for header in head.headers.iter() {
        let read = match field(header.name) {
            Field::ContentLength => said.length(header.value).is_ok(),
            Field::TransferEncoding => said.coding(header.value).is_ok(),
            Field::Connection => nominated.read(header.value),
            _ => true,
        };
        if !read {
            return Err(Invalid);
        }
    }
    let framing = said
        .framing(version == 0, Framing::Close)
        .map_err(|_| Invalid)?;
    let is_bare = client.is_head || status < 200 || status == 204 || status == 304;
    let body = if is_bare { Framing::Empty } else { framing };
    let mut response = Response {
        status,
        head_bytes,
        framing: body,
        writing: match body {
            Framing::Chunked | Framing::Close if client.is_old => Framing::Close,
            Framing::Close => Framing::Chunked,
            same => same,
        },
        reusable: match version {
            0 => nominated.keep_alive,
            _ => !nominated.close,
        } && body != Framing::Close,
        keep_alive: client.keep_alive,
    };
    response.keep_alive &= response.writing != Framing::Close;
    let reason = head.reason.unwrap_or_default();
    let hop = Hop {
        client,
        said: framing,
        nominated: &nominated,
    };
    hop.write(&response, reason, head.headers, to);
    Ok(Some(response))
}

/// What decides which fields go on.
struct Hop<'a> {
    client: Client,
    said: Framing,
    nominated: &'a Nominated<'a>,
}

impl Hop<'_> {
    fn write(&self, response: &Response, reason: &str, headers: &[Header<'_>], to: &mut Vec<u8>) {
        to.extend_from_slice(b"HTTP/1.1 ");
        push_number(to, u64::from(response.status));
        to.push(b' ');
        to.extend_from_slice(reason.as_bytes());
        to.extend_from_slice(b"\r\n");
        let switches = response.status == 101;
        for header in headers {
            let kept = match field(header.name) {
                Field::Other => !self.nominated.has(header.name),
                Field::Upgrade => switches,
                Field::Forwarded | Field::Host | Field::Expect => true,
                Field::TraceParent | Field::TraceState => !self.nominated.has(header.name),
                _ => false,
            };
            if kept {
                push(to, header);
            }
        }
        if switches {
            to.extend_from_slice(b"connection: upgrade\r\n\r\n");
            return;
        }
        if response.status >= 200 {
            self.write_hop(response, to);
        }
        to.extend_from_slice(b"\r\n");
    }

    fn write_hop(&self, response: &Response, to: &mut Vec<u8>) {
        match (response.writing, self.said) {
            (Framing::Length(length), _) => push_length(to, length),
            (Framing::Chunked, _) => to.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            // No body comes, but the length that it would have.
            (Framing::Empty, Framing::Length(length)) if response.status != 204 => {
                push_length(to, length);
            }
            (Framing::Empty | Framing::Close, _) => {}
        }
        match (response.keep_alive, self.client.is_old) {
            (false, _) => to.extend_from_slice(b"connection: close\r\n"),
            (true, true) => to.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, false) => {}
        }
    }
}

fn push_length(to: &mut Vec<u8>, length: u64) {
    to.extend_from_slice(b"content-length: ");
    push_number(to, length);
    to.extend_from_slice(b"\r\n");
}
