//! The body of a request on its way to an upstream, where hyper writes it.
//!
//! Promise: it ends where it is longer than allowed; trailers that would change how the message is read stay
//! behind; it can be told whether it is the client that is waited for, and a body of which nothing was read can go
//! another way: one that comes after its head, for hyper reads what is there at once.
//! Cost: a reference count, a lock that nobody else wants, and some stores a frame.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::proxy::plain::head::is_forbidden_trailer;
use crate::proxy::plain::moves::Moves;
use crate::proxy::plain::refusal::{self, Refusal};
use crate::sync::{Arc, Mutex, OnceLock};

/// A request's body. Dropped when nothing more of it goes on.
pub struct Upload {
    left: u64,
    progress: Arc<Progress>,
}

/// How far it is, for the clock and for whoever comes next.
#[derive(Debug)]
pub struct Progress {
    /// What is passed on; `None`: there is none, and there was none, or it goes another way.
    body: Mutex<Option<Incoming>>,
    most: u64,
    moves: Moves,
    fault: OnceLock<Refusal>,
}

/// A body ended before its end: [`Progress::fault`] says why.
#[derive(Debug)]
pub struct BrokenUpload;

impl Upload {
    /// A body of which at most `most` bytes go on.
    pub fn new(body: Incoming, most: u64) -> Self {
        Self::of(Some(body), most)
    }

    /// No body.
    pub fn none() -> Self {
        Self::of(None, 0)
    }

    fn of(body: Option<Incoming>, most: u64) -> Self {
        let progress = Progress {
            body: Mutex::new(body),
            most,
            moves: Moves::default(),
            fault: OnceLock::new(),
        };
        Self {
            left: most,
            progress: Arc::new(progress),
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
        self.moves.seen().0
    }

    /// What is wrong with the body, if anything was.
    pub fn fault(&self) -> Option<Refusal> {
        self.fault.get().copied()
    }

    /// Whether the next one is the client's to send.
    pub fn waits_for_client(&self) -> bool {
        self.moves.is_clients_turn() && !self.is_over()
    }

    /// Whether nothing more of it goes on.
    pub fn is_over(&self) -> bool {
        self.moves.is_whole()
    }

    /// Whether nobody asked for any of it yet, nor let it go.
    pub fn is_untouched(&self) -> bool {
        self.frames() == 0 && !self.waits_for_client() && !self.is_over()
    }

    /// The body, to go another way, if nothing of it was read.
    pub fn taken_back(&self) -> Option<Upload> {
        let untouched = self.frames() == 0 && self.fault().is_none();
        untouched.then(|| Upload::of(self.body.lock().take(), self.most))
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
        let polled = match &mut *this.progress.body.lock() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        };
        this.progress.moves.set_asking(polled.is_pending());
        let Poll::Ready(Some(frame)) = polled else {
            return polled.map(|_| None);
        };
        this.progress.moves.sent();
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
        let body = self.progress.body.lock();
        body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &*self.progress.body.lock() {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.progress.moves.set_whole();
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
