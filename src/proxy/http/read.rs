//! Reading a request body to its end, within a size and a time.
//!
//! Promise: never holds more than the limit. Cost: a body that arrived in one piece is not copied,
//! and no timer is armed for one that is already there.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};

use crate::proxy::wire::{Code, Fault};

/// Reads the body.
///
/// # Errors
///
/// [`Code::TooLarge`], [`Code::SlowBody`], or [`Code::BadMessage`] where the connection broke off.
///
/// # Cancel safety
///
/// What was read is lost.
pub async fn read_body(
    body: Incoming,
    max_bytes: usize,
    patience: Duration,
) -> Result<Bytes, Fault> {
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large(max_bytes));
    }
    tokio::time::timeout(patience, collect(body, max_bytes))
        .await
        .unwrap_or_else(|_| {
            Err(Fault::new(
                Code::SlowBody,
                "the request body did not arrive in time; send it again",
            ))
        })
}

async fn collect(mut body: Incoming, max_bytes: usize) -> Result<Bytes, Fault> {
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let expected = body.size_hint().lower().min(max_bytes as u64) as usize;
    let mut whole = BytesMut::with_capacity(first.len() + expected);
    whole.extend_from_slice(&first);
    while let Some(piece) = next(&mut body).await? {
        if whole.len() + piece.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(Fault::new(
                    Code::BadMessage,
                    "the request body broke off; send it again",
                ));
            }
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

fn too_large(max_bytes: usize) -> Fault {
    Fault::new(
        Code::TooLarge,
        format!("the request body is larger than {max_bytes} bytes; send less"),
    )
}
