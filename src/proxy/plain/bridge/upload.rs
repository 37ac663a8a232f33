//! The body of a request on its way to an upstream, where hyper writes it.
//!
//! Promise: it ends where it is longer than allowed; trailers that would change how the message is read stay
//! behind; it can be told whether it is the client that is waited for.
//! Cost: a reference count, and some stores a frame.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::proxy::plain::head::is_forbidden_trailer;
use crate::proxy::plain::refusal::{self, Refusal};
use crate::sync::{Arc, AtomicBool, AtomicU32, OnceLock, Ordering};

/// A request's body.
pub struct Upload {
    /// `None`: there is none, and there was none.
    body: Option<Incoming>,
    left: u64,
    progress: Arc<Progress>,
}

/// How far it is, for the clock.
#[derive(Debug, Default)]
pub struct Progress {
    frames: AtomicU32,
    waits: AtomicBool,
    fault: OnceLock<Refusal>,
}

/// A body ended before its end: [`Progress::fault`] says why.
#[derive(Debug)]
pub struct BrokenUpload;

impl Upload {
    /// A body of which at most `most` bytes go on.
    pub fn new(body: Incoming, most: u64) -> Self {
        Self {
            body: Some(body),
            left: most,
            progress: Arc::default(),
        }
    }

    /// No body.
    pub fn none() -> Self {
        Self {
            body: None,
            left: 0,
            progress: Arc::default(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    fn broken(&self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, BrokenUpload>>> {
        // The first fault is the one.
        let _ = self.progress.fault.set(refusal);
        Poll::Ready(Some(Err(BrokenUpload)))
    }
}

impl Progress {
    /// How many frames went on.
    pub fn frames(&self) -> u32 {
        // Relaxed, here and below: written and read by tasks of one thread.
        self.frames.load(Ordering::Relaxed)
    }

    /// What is wrong with the body, if anything was.
    pub fn fault(&self) -> Option<Refusal> {
        self.fault.get().copied()
    }

    /// Whether the next one is the client's to send.
    pub fn waits_for_client(&self) -> bool {
        // Relaxed: written and read by tasks of one thread.
        self.waits.load(Ordering::Relaxed)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BrokenUpload;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenUpload>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        // Relaxed: as in `waits_for_client`.
        this.progress
            .waits
            .store(polled.is_pending(), Ordering::Relaxed);
        let Poll::Ready(Some(frame)) = polled else {
            return polled.map(|_| None);
        };
        // Relaxed: as in `waits_for_client`.
        this.progress.frames.fetch_add(1, Ordering::Relaxed);
        let Ok(frame) = frame else {
            return this.broken(refusal::BROKEN_BODY);
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match this.left.checked_sub(length) {
            Some(left) => this.left = left,
            None => return this.broken(refusal::TOO_LARGE),
        }
        Poll::Ready(Some(Ok(without_forbidden(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// A frame without those trailers that may not come after a body.
pub fn without_forbidden(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Err(frame) => frame,
        Ok(trailers) => {
            let kept = trailers
                .iter()
                .filter(|(name, _)| !is_forbidden_trailer(name.as_str()))
                .map(|(name, value)| (name.clone(), value.clone()));
            Frame::trailers(kept.collect::<HeaderMap>())
        }
    }
}

impl fmt::Display for BrokenUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's body broke off, or is longer than allowed")
    }
}

impl std::error::Error for BrokenUpload {}
