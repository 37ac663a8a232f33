//! A connection to an upstream that hyper speaks on, as a pooled value.
//!
//! Promise: of HTTP/1.1, it is unhealthy from the first byte of a request to the last of its answer; of h2,
//! it carries many requests and is healthy until it ends. One in h2 is there when its upstream has said how many streams
//! it allows: requests that are sent before that may be too many, and be refused.
//! Cost: a look is two loads; a task a connection.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answers::{Answers, Asked};
use super::rewound::Rewound;
use super::sieve::Sieve;
use super::tasks::Tasks;
use super::upload::Upload;
use crate::proxy::plain::connection::Site;
use crate::proxy::plain::dial::{DialError, dial};
use crate::proxy::plain::head::MOST_FIELDS;
use crate::proxy::plain::leasing::Aged;
use crate::proxy::plain::relay::MAX_HEAD_BYTES;
use crate::sync::{Arc, Mutex, Weak};
use crate::{BoxError, PoolableResource};

/// How often an upstream in h2 that has requests is asked for a sign of life, at least, and how long it may take to
/// answer: a connection that died without a word would be shared for ever.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// The connection.
#[derive(Debug)]
pub struct Channel {
    sender: Sender,
    task: AbortHandle,
    busy: bool,
    used: bool,
}

/// What sends on it: one request at a time, or many.
#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Upload>, Arc<Asked>),
    Many(http2::SendRequest<Upload>, Weak<Link>),
}

/// What knows how many streams there may be; owned by the task that drives it, locked for a poll or a look.
type Link = Mutex<http2::Connection<TokioIo<TcpStream>, Upload, Tasks>>;

/// A way to send one request.
pub enum Turn<'a> {
    One(&'a mut http1::SendRequest<Upload>),
    Many(http2::SendRequest<Upload>),
}

/// A request that has no answer.
pub enum Failed {
    /// Not a byte was written: here it is again.
    Unsent(Box<Request<Upload>>),
    /// It may have been seen.
    Lost(hyper::Error),
}

impl Channel {
    /// Dials.
    ///
    /// # Errors
    ///
    /// What the system, or the upstream, said.
    pub async fn dial(site: Site) -> Result<Self, BoxError> {
        let (target, limit) = (&site.target, site.times.connect);
        let speaking = async {
            let stream = dial(target, limit).await?;
            let spoken = match site.h2 {
                true => Self::many(stream, site.times.silence).await,
                false => Self::one(stream).await.map_err(Into::into),
            };
            spoken.map_err(|error| BoxError::from(format!("{target}: {error}")))
        };
        let Ok(spoken) = timeout(limit, speaking).await else {
            return Err(DialError::late(target, limit).into());
        };
        let (sender, task) = spoken?;
        Ok(Self {
            sender,
            task,
            busy: false,
            used: false,
        })
    }

    async fn many(stream: TcpStream, silence: Duration) -> Result<(Sender, AbortHandle), BoxError> {
        let (sign, tasks) = (SIGN_OF_LIFE.min(silence), Tasks::default());
        let (sender, mut connection) = http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(sign)
            .keep_alive_timeout(sign)
            .max_header_list_size(MAX_HEAD_BYTES as u32)
            // None is allowed until its settings say so.
            .initial_max_send_streams(0)
            .handshake(TokioIo::new(stream))
            .await?;
        while connection.current_max_send_streams() == 0 {
            tokio::select! {
                biased;
                ended = &mut connection => return Err(no_settings(ended.err())),
                () = tasks.step() => {}
            }
        }
        let link = Arc::new(Mutex::new(connection));
        let known = Arc::downgrade(&link);
        let task = tokio::spawn(poll_fn(move |context| {
            Pin::new(&mut *link.lock()).poll(context).map(drop)
        }));
        Ok((Sender::Many(sender, known), task.abort_handle()))
    }

    async fn one(stream: TcpStream) -> Result<(Sender, AbortHandle), hyper::Error> {
        let asked = Arc::new(Asked::default());
        let sieve = Sieve::new(Rewound::fresh(stream), Answers::new(asked.clone()));
        let (sender, connection) = http1::Builder::new()
            .max_headers(MOST_FIELDS)
            .handshake(TokioIo::new(sieve))
            .await?;
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok((Sender::One(sender, asked), task.abort_handle()))
    }

    /// A request of its own begins, for no more than a head or for all of an answer.
    pub fn begin(&mut self, is_head: bool) -> Turn<'_> {
        match &mut self.sender {
            Sender::One(sender, asked) => {
                self.busy = true;
                asked.ask(is_head);
                Turn::One(sender)
            }
            Sender::Many(sender, _) => Turn::Many(sender.clone()),
        }
    }

    /// A way for one request among others, of a connection that carries several.
    pub fn turn(&self) -> Option<Turn<'static>> {
        match &self.sender {
            Sender::One(..) => None,
            Sender::Many(sender, _) => Some(Turn::Many(sender.clone())),
        }
    }

    /// How many requests it carries at a time, as far as its upstream said yet.
    pub fn most_streams(&self) -> usize {
        match &self.sender {
            Sender::One(..) => 1,
            // One that allows none for now may allow some later: a request may wait for that.
            Sender::Many(_, link) => match link.upgrade() {
                Some(link) => link.lock().current_max_send_streams().max(1),
                None => 1,
            },
        }
    }

    /// The answer was read to the end.
    pub fn rest(&mut self) {
        (self.busy, self.used) = (false, true);
    }
}

/// What the operator is told of a connection that ended before it began.
fn no_settings(error: Option<hyper::Error>) -> BoxError {
    let cause = error.as_ref().and_then(Error::source);
    let cause = cause.map_or_else(|| "it was closed".into(), ToString::to_string);
    format!("no settings of h2 came: does it speak h2 without TLS? ({cause})").into()
}

impl Turn<'_> {
    /// Sends.
    pub async fn send(self, request: Request<Upload>) -> Result<Response<Incoming>, Failed> {
        let sent = match self {
            Turn::One(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Failed::Unsent(Box::new(request)));
                }
                sender.try_send_request(request).await
            }
            Turn::Many(mut sender) => {
                if sender.ready().await.is_err() {
                    return Err(Failed::Unsent(Box::new(request)));
                }
                sender.try_send_request(request).await
            }
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
            None => Failed::Lost(error.into_error()),
        })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // In the middle of an answer the peer learns at once that nobody reads it.
        self.task.abort();
    }
}

impl Aged for Channel {
    /// In h2 it may have served others, too.
    fn is_used(&self) -> bool {
        self.used || matches!(self.sender, Sender::Many(..))
    }
}

impl PoolableResource for Channel {
    const HAS_ASYNC_CLOSE: bool = false;

    fn is_healthy(&self) -> bool {
        match &self.sender {
            Sender::One(sender, _) => !self.busy && !sender.is_closed(),
            Sender::Many(sender, _) => !sender.is_closed(),
        }
    }
}
