//! After a switch of protocols: bytes, both ways.
//!
//! Promise: what either side sends reaches the other, what was read with the head first; an end of one
//! direction is passed on, and the other goes on. Silence on both sides for too long ends both. What the client
//! gets is counted as it goes.
//! Cost: a buffer a direction while bytes are in it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::deadline::Patience;
use super::wire::{Inbox, write_all};
use crate::sync::{AtomicU32, Ordering};

/// Copies until both directions have ended, one broke off, or nothing moved for `idle`; `told` hears how many bytes went
/// to the client.
pub async fn tunnel(
    client: (&mut TcpStream, &mut Inbox),
    upstream: (&mut TcpStream, &mut Inbox),
    patience: &mut Patience,
    idle: Duration,
    told: impl FnMut(u64) + Send,
) {
    let moves = AtomicU32::new(0);
    let (mut client_read, mut client_write) = client.0.split();
    let (mut upstream_read, mut upstream_write) = upstream.0.split();
    let mut up = pin!(copy(
        &mut client_read,
        client.1,
        &mut upstream_write,
        &moves,
        |_| {}
    ));
    let mut down = pin!(copy(
        &mut upstream_read,
        upstream.1,
        &mut client_write,
        &moves,
        told
    ));
    let (mut ended, mut seen, mut due) = ((false, false), 0, Instant::now() + idle);
    poll_fn(|context| {
        for (direction, ended) in [
            (up.as_mut() as Pin<&mut dyn Copying>, &mut ended.0),
            (down.as_mut(), &mut ended.1),
        ] {
            if !*ended {
                match direction.poll(context) {
                    Poll::Ready(Ok(())) => *ended = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
        }
        if ended.0 && ended.1 {
            return Poll::Ready(());
        }
        // Relaxed: written by the same task.
        let moved = moves.load(Ordering::Relaxed);
        if moved != seen {
            (seen, due) = (moved, Instant::now() + idle);
        }
        patience.poll_due(context, due).map(drop)
    })
    .await
}

trait Copying: Future<Output = io::Result<()>> + Send {}

impl<F: Future<Output = io::Result<()>> + Send> Copying for F {}

async fn copy<R, W>(
    from: &mut R,
    inbox: &mut Inbox,
    to: &mut W,
    moves: &AtomicU32,
    mut told: impl FnMut(u64),
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        if !inbox.is_empty() {
            write_all(to, inbox.bytes())
                .await
                .map_err(|(_, error)| error)?;
            told(inbox.bytes().len() as u64);
            inbox.consume(inbox.bytes().len());
            // Relaxed: as above.
            moves.fetch_add(1, Ordering::Relaxed);
        }
        if inbox.read(from).await? == 0 {
            return poll_fn(|context| Pin::new(&mut *to).poll_shutdown(context)).await;
        }
        moves.fetch_add(1, Ordering::Relaxed);
    }
}
