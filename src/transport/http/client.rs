//! The exchanges with one upstream.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request, Response, Uri};

use super::connection::{Dialler, Failed, HttpConnection};
use super::{HttpBody, HttpError, HttpTarget, TargetError};
use crate::sync::Arc;
use crate::{BoxError, CloseReport, Pool, PoolOptions, PoolStats};

/// Times and counts of a client.
#[derive(Clone, Copy, Debug)]
pub struct HttpOptions {
    /// Connections at a time.
    pub max_connections: u32,
    /// How long a dial may take.
    pub connect_timeout: Duration,
    /// How long a request may wait for a connection that is free.
    pub acquire_timeout: Duration,
    /// After which time a connection that nobody uses is closed.
    pub idle_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_connections: 256,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// What goes to the upstream's path.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// Headers; `Host` is added.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A pool of connections to one upstream; clones share it.
#[derive(Clone)]
pub struct HttpClient {
    pool: Pool<HttpConnection>,
    target: Arc<HttpTarget>,
    path: Uri,
    /// What is asked for over HTTP/2.
    whole: Uri,
}

impl HttpClient {
    /// A client without connections.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(target: HttpTarget, options: HttpOptions) -> Result<Self, BoxError> {
        let path = target.path().parse()?;
        let whole = target.uri().clone();
        let dialler = Dialler::new(target.clone())?;
        let target = Arc::new(target);
        let pool = PoolOptions::new()
            .max_connections(options.max_connections)
            .connect_timeout(options.connect_timeout)
            .acquire_timeout(options.acquire_timeout.max(options.connect_timeout))
            .idle_timeout(options.idle_timeout)
            .connect_with(move || {
                let dialler = dialler.clone();
                async move { dialler.dial().await }
            })?;
        Ok(Self {
            pool,
            target,
            path,
            whole,
        })
    }

    /// The same connections for another place of the same origin, as its server named it.
    ///
    /// # Errors
    ///
    /// [`TargetError`]: it is none.
    pub fn at(&self, reference: &str) -> Result<Self, TargetError> {
        let target = self.target.at(reference)?;
        Ok(Self {
            pool: self.pool.clone(),
            path: target.path().parse().map_err(|_| TargetError::NoUrl)?,
            whole: target.uri().clone(),
            target: Arc::new(target),
        })
    }

    /// Sends a request and returns the head of its answer. Where nothing of it was written, because the
    /// connection had been closed meanwhile, it is sent on another one.
    ///
    /// # Errors
    ///
    /// [`HttpError::NoConnection`], [`HttpError::Dropped`], [`HttpError::Broken`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before the head is here, the connection is closed; the upstream may have seen the request.
    pub async fn send(&self, request: &HttpRequest) -> Result<Response<HttpBody>, HttpError> {
        loop {
            let mut lease = self.pool.acquire().await.map_err(HttpError::NoConnection)?;
            let reused = lease.is_grown();
            let whole = self.whole(request, lease.is_http2());
            match lease.send(whole).await {
                Ok(answer) => return Ok(answer.map(|body| HttpBody::new(body, lease))),
                // Each try takes an old connection out of the pool: there is an end to it.
                Err(Failed::Unsent) if reused => {}
                Err(Failed::Unsent) => return Err(HttpError::Dropped),
                Err(Failed::Lost(source)) => return Err(HttpError::Broken { source, reused }),
            }
        }
    }

    /// Whether the upstream takes connections: one is opened, unless there is one.
    ///
    /// # Errors
    ///
    /// [`HttpError::NoConnection`].
    pub async fn reach(&self) -> Result<(), HttpError> {
        let reached = self.pool.acquire().await;
        reached.map(drop).map_err(HttpError::NoConnection)
    }

    /// Where it sends to.
    pub fn target(&self) -> &HttpTarget {
        &self.target
    }

    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.pool.close(deadline).await
    }

    fn whole(&self, request: &HttpRequest, is_http2: bool) -> Request<Full<Bytes>> {
        let mut whole = Request::new(Full::new(request.body.clone()));
        *whole.method_mut() = request.method.clone();
        *whole.headers_mut() = request.headers.clone();
        if is_http2 {
            *whole.uri_mut() = self.whole.clone();
        } else {
            *whole.uri_mut() = self.path.clone();
            let authority = self.target.authority().clone();
            whole.headers_mut().insert(HOST, authority);
        }
        whole
    }
}
