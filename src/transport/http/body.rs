//! The body of an upstream's answer, which gives its connection back at its end.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};

use super::HttpError;
use super::connection::HttpConnection;
use crate::PoolConnection;

/// The rest of an answer; dropped before its end, its connection goes, too.
pub struct HttpBody {
    incoming: Incoming,
    lease: Option<PoolConnection<HttpConnection>>,
}

impl HttpBody {
    pub(super) fn new(incoming: Incoming, lease: PoolConnection<HttpConnection>) -> Self {
        let mut body = Self {
            incoming,
            lease: Some(lease),
        };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`HttpError::Broken`]: there will be no more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Result<Bytes, HttpError>> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx)).await;
            match frame {
                None => {
                    self.finish();
                    return None;
                }
                Some(Err(source)) => {
                    self.lease = None;
                    let reused = false; // something came
                    return Some(Err(HttpError::Broken { source, reused }));
                }
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Some(Ok(piece));
                    }
                }
            }
        }
    }

    /// Reads all of it, at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooLong`], [`HttpError::Broken`].
    ///
    /// # Cancel safety
    ///
    /// What was read is lost.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if whole.len() + piece.len() > limit {
                return Err(HttpError::TooLong { limit });
            }
            if whole.is_empty() && self.incoming.is_end_stream() {
                self.finish();
                return Ok(piece);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    fn finish(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            lease.rest();
        }
    }
}
