//! The trace that a request belongs to, as W3C Trace Context writes it.
//!
//! Promise: a trace that a client names goes on with a span of this proxy; a malformed one is replaced by a new
//! one, and its state is dropped, as the recommendation asks (<https://www.w3.org/TR/trace-context/>).

use std::cell::Cell;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

tokio::task_local! {
    /// The trace of the request that this task serves.
    pub static TRACE: Trace;
}

/// A span of this proxy within a trace: all of it but its state.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Of the whole trace.
    id: u128,
    /// Of this proxy's part.
    span: u64,
    flags: u8,
}

/// How long a context is as text.
const TEXT: usize = 55;

impl Context {
    /// The one that goes on from this parent; `None` if that is malformed.
    pub fn after(parent: &[u8]) -> Option<Self> {
        let (id, flags) = parse(std::str::from_utf8(parent).ok()?)?;
        let span = random().max(1);
        Some(Self { id, span, flags })
    }

    /// That of a trace which begins here.
    pub fn begun() -> Self {
        Self {
            id: (u128::from(random()) << 64 | u128::from(random())).max(1),
            span: random().max(1),
            flags: 0,
        }
    }

    /// As it is written into a head.
    pub fn text(&self) -> [u8; TEXT] {
        let mut text = [b'-'; TEXT];
        text[..2].copy_from_slice(b"00");
        put_hex(&mut text[3..19], (self.id >> 64) as u64);
        put_hex(&mut text[19..35], self.id as u64);
        put_hex(&mut text[36..52], self.span);
        put_hex(&mut text[53..], self.flags.into());
        text
    }

    /// What names the whole trace.
    pub fn id(&self) -> String {
        format!("{:032x}", self.id)
    }

    /// What names this proxy's part of it.
    pub fn span(&self) -> String {
        format!("{:016x}", self.span)
    }
}

fn put_hex(to: &mut [u8], mut number: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// A span of this proxy within a trace, with what others have to say of it.
#[derive(Clone, Debug)]
pub struct Trace {
    context: Context,
    state: Option<HeaderValue>,
}

impl Trace {
    /// The trace that a request names, or a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut named = headers.get_all(PARENT).iter();
        let parent = match (named.next(), named.next()) {
            (Some(one), None) => Context::after(one.as_bytes()),
            _ => None,
        };
        match parent {
            Some(context) => Self {
                context,
                state: headers.get(STATE).cloned(),
            },
            None => Self {
                context: Context::begun(),
                state: None,
            },
        }
    }

    /// Writes it into the head of a request to an upstream, in place of what its client named.
    pub fn write(&self, headers: &mut HeaderMap) {
        // All of it is ASCII.
        if let Ok(value) = HeaderValue::from_bytes(&self.context.text()) {
            headers.insert(PARENT, value);
        }
        match &self.state {
            Some(state) => drop(headers.insert(STATE, state.clone())),
            None => drop(headers.remove(STATE)),
        }
    }

    /// This proxy's part of it.
    pub fn context(&self) -> Context {
        self.context
    }
}

/// The trace and its flags; `None` if the text is malformed.
fn parse(text: &str) -> Option<(u128, u8)> {
    let hex = |text: &str, length: usize| {
        let fits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == length && text.bytes().all(fits)
    };
    let mut parts = text.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    let is_whole = hex(version, 2) && hex(id, 32) && hex(parent, 16) && hex(flags, 2);
    if !is_whole || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    u64::from_str_radix(parent, 16)
        .ok()
        .filter(|parent| *parent != 0)?;
    // Of a later version only the flag that this one knows is kept.
    let flags = u8::from_str_radix(flags, 16).ok()? & 1;
    Some((id, flags))
}

/// A number that is not the next one's neighbour (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014); each thread begins at a place that the system draws.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    STATE.with(|state| {
        let mut seed = state.get();
        if seed == 0 {
            let mut bytes = [0; 8];
            // Without random numbers names may meet those of another process: nothing breaks of it.
            let _ = getrandom::fill(&mut bytes);
            seed = u64::from_le_bytes(bytes) | 1;
        }
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
