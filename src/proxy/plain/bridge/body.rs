//! The body of an answer on its way, with what it holds.
//!
//! Promise: the connection to the upstream is free again with the last frame, and closed if that does not
//! come; a body that stands still for too long, or takes too long in all, ends, but not with its last frame there.
//! What a client does not take for too long is for the clock of its connection, and no fault of the upstream's.
//! Cost: a timer, set anew whenever the upstream is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::channel::Channel;
use super::pulse::{Busy, Standing};
use super::send;
use super::upload::{Progress, without_forbidden};
use crate::proxy::plain::access::Entry;
use crate::proxy::plain::counts::Counts;
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::proxy::plain::sharing::Share;
use crate::resilience::{Deadline, Expired};
use crate::sync::{Arc, CachePadded};
use crate::{BoxError, PoolConnection};

/// What hyper gets of a body at once: it holds that much for each client that does not take it.
const PIECE: usize = 16 << 10;

/// However long an upstream may be silent, a client has no longer to take what there is.
const LONGEST_PATIENCE: Duration = Duration::from_secs(120);

/// What a client gets, and what ends with it.
pub struct Answer {
    words: Words,
    is_over: bool,
    /// Where it is long enough to stand still.
    standing: Option<Arc<Standing>>,
    /// Counts bytes, and is written at the end.
    entry: Option<Entry>,
    counts: Arc<CachePadded<Counts>>,
    _busy: Busy,
}

/// Its body.
pub enum Words {
    /// The proxy's own.
    Own(Full<Bytes>),
    /// The upstream's.
    Download(Box<Download>),
}

/// An upstream's body.
pub struct Download {
    body: Incoming,
    /// What of it was read and is still to be given.
    rest: Bytes,
    /// How much is still to be read, if that is known.
    left: Option<u64>,
    is_read: bool,
    hold: Hold,
    flight: Flight<Arc<Upstream>>,
    upload: Arc<Progress>,
    deadline: Deadline,
    /// When its head came.
    head_at: Instant,
    /// Since when the upstream is waited for, if it is.
    silent_since: Option<Instant>,
    /// Rings when the deadline is over.
    timer: Pin<Box<Sleep>>,
}

/// The connection that a body comes over.
pub enum Hold {
    /// For it alone.
    Own(PoolConnection<Channel>),
    /// For it and others; it goes back to the pool with the last of them.
    Shared { _lease: Share },
}

impl Answer {
    /// These words to a request, with its line in the log. The client has `patience` to take each part of them.
    pub fn new(
        words: Words,
        entry: Option<Entry>,
        counts: Arc<CachePadded<Counts>>,
        mut busy: Busy,
        patience: Duration,
    ) -> Self {
        busy.answered();
        let is_over = words.is_over();
        Self {
            standing: (!is_over).then(|| busy.answer(patience)),
            is_over,
            words,
            entry,
            counts,
            _busy: busy,
        }
    }
}

impl Words {
    fn is_over(&self) -> bool {
        match self {
            Self::Own(own) => own.is_end_stream(),
            Self::Download(theirs) => theirs.is_read() && theirs.rest.is_empty(),
        }
    }

    /// How long the client may leave a part of them standing, if they are the upstream's.
    pub fn patience(&self) -> Option<Duration> {
        match self {
            Self::Own(_) => None,
            Self::Download(theirs) => {
                let idle = theirs.flight.options().timeouts.idle;
                Some(idle.saturating_mul(2).min(LONGEST_PATIENCE))
            }
        }
    }
}

impl Download {
    /// A body that may stand still for as long as its upstream may be silent, of an answer to a request that `begun`
    /// then.
    pub fn new(
        body: Incoming,
        hold: Hold,
        flight: Flight<Arc<Upstream>>,
        upload: Arc<Progress>,
        begun: Instant,
    ) -> Self {
        let (limits, now) = (&flight.options().timeouts, Instant::now());
        let mut deadline = Deadline::new(limits, begun);
        deadline.progress(limits, now);
        Self {
            left: body.size_hint().exact(),
            body,
            rest: Bytes::new(),
            is_read: false,
            hold,
            flight,
            upload,
            timer: Box::pin(sleep_until(deadline.expires())),
            deadline,
            head_at: now,
            silent_since: None,
        }
    }

    /// Whether all of it was read.
    fn is_read(&self) -> bool {
        self.is_read || self.left == Some(0) || self.body.is_end_stream()
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let (mut is_upstreams, mut is_end) = (true, false);
        let fault: BoxError = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silent_since = None;
                match self.deadline.expired(Instant::now()) {
                    // An answer that flows may be its client's doing; only silence is the upstream's.
                    Some(Expired::Overall | Expired::Response) if !self.is_last(&frame) => {
                        is_upstreams = false;
                        "the answer took too long".into()
                    }
                    _ => return Poll::Ready(Some(Ok(self.first_of(frame)))),
                }
            }
            Poll::Ready(None) => {
                self.is_read = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => {
                is_end = send::is_end(&error);
                error.into()
            }
            Poll::Pending => {
                let since = self.silent_since();
                std::task::ready!(self.timer.as_mut().poll(context));
                let now = Instant::now();
                is_upstreams = match self.deadline.expired(now) {
                    // It fell silent for longer than it had spoken.
                    Some(Expired::Overall | Expired::Response) => {
                        now - since >= since - self.head_at
                    }
                    _ => true,
                };
                "the upstream fell silent, or its answer took too long".into()
            }
        };
        // Where it is the client's part that is waited for, or broke off, the upstream is not blamed.
        if is_upstreams && self.upload.fault().is_none() && !self.upload.waits_for_client() {
            match is_end {
                true => self.flight.lost(),
                false => self.flight.failed(),
            }
        }
        Poll::Ready(Some(Err(fault)))
    }

    /// Whether nothing comes after this frame.
    fn is_last(&self, frame: &Frame<Bytes>) -> bool {
        let length = frame.data_ref().map(|data| data.len() as u64);
        // Trailers have none.
        length.is_none() || length == self.left || self.body.is_end_stream()
    }

    /// Since when the upstream is waited for: from here on, if its last frame was only just asked to be followed. What its
    /// client took to do that is not its own silence.
    fn silent_since(&mut self) -> Instant {
        *self.silent_since.get_or_insert_with(|| {
            let now = Instant::now();
            self.deadline.progress(&self.flight.options().timeouts, now);
            self.timer.as_mut().reset(self.deadline.expires());
            now
        })
    }

    /// What of a frame goes on at once.
    fn first_of(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) => {
                let length = data.len() as u64;
                self.left = self.left.map(|left| left.saturating_sub(length));
                self.flight.meter().sent(length);
                self.rest = data;
                self.piece()
            }
            Err(frame) => without_forbidden(frame),
        }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE);
        Frame::data(self.rest.split_to(length))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A request that is still on its way would be in the way of the next.
        let is_free = self.is_read() && self.upload.is_over();
        if let Hold::Own(lease) = &mut self.hold
            && is_free
        {
            lease.rest();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = match &mut this.words {
            Words::Own(own) => Pin::new(own).poll_frame(context).map_err(Into::into),
            Words::Download(theirs) => theirs.poll_frame(context),
        };
        if let Some(standing) = &this.standing {
            standing.asked(polled.is_ready());
        }
        if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut this.entry, &polled) {
            entry.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        this.is_over |= matches!(polled, Poll::Ready(None)) || this.words.is_over();
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.words {
            Words::Own(own) => own.is_end_stream(),
            Words::Download(theirs) => theirs.rest.is_empty() && theirs.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.words {
            Words::Own(own) => own.size_hint(),
            // Hyper asks before the first frame.
            Words::Download(theirs) => theirs.body.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_over {
            Counts::count(&self.counts.broken);
        }
    }
}
