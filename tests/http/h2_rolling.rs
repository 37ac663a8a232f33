//! A second gateway takes the address over while the first goes: clients in h2 see no failed request.

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::BodyExt;
use hyper::client::conn::{TrySendError, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plunge::proxy::plain::{Gateway, GatewayOptions};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{Origin, PATIENCE, eventually, options, upstream};
use crate::h2::{Body, whole};

const CLIENTS: usize = 16;
const TURNS: usize = 4;

/// What the clients did.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    served: AtomicUsize,
    connections: AtomicUsize,
}

async fn opened(address: SocketAddr) -> http2::SendRequest<Body> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Whether a request was not sent, or the server said by GOAWAY that it does not look at it (RFC 9113, 6.8): it goes over
/// the next connection.
fn is_for_the_next(error: &TrySendError<Request<Body>>) -> bool {
    let said = error.error().source();
    let said = said.and_then(|said| said.downcast_ref::<h2::Error>());
    error.message().is_some() || said.is_some_and(|said| said.is_go_away() && said.is_remote())
}

/// Asks on one connection until that is told to end, then on the next; a request that was sent has to be answered.
async fn asks(address: SocketAddr, seen: Arc<Seen>) {
    while !seen.is_over.load(Ordering::SeqCst) {
        let mut sender = opened(address).await;
        seen.connections.fetch_add(1, Ordering::SeqCst);
        while !seen.is_over.load(Ordering::SeqCst) && sender.ready().await.is_ok() {
            let request = Request::get(format!("http://{address}/")).body(whole(""));
            let asking = sender.try_send_request(request.unwrap());
            let answer = match timeout(PATIENCE, asking).await.unwrap() {
                Ok(answer) => answer,
                Err(error) if is_for_the_next(&error) => break,
                Err(error) => panic!("a request failed: {error:?}"),
            };
            assert_eq!(answer.status(), StatusCode::OK);
            let body = timeout(PATIENCE, answer.into_body().collect()).await;
            assert_eq!(body.unwrap().unwrap().to_bytes(), "hello");
            seen.served.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn shared(origin: &Origin) -> GatewayOptions {
    let mut options = options(upstream(&[origin]));
    options.share_address = true;
    options.workers = NonZeroUsize::new(2).unwrap();
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request_of_clients_in_h2() {
    let origin = Origin::hello();
    let mut gateway = Gateway::start(shared(&origin)).unwrap();
    let address = gateway.address();
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(asks(address, seen.clone())))
        .collect();
    for _ in 0..TURNS {
        let served = seen.served.load(Ordering::SeqCst);
        eventually("the clients are at work", || {
            seen.served.load(Ordering::SeqCst) > served + 10 * CLIENTS
        });
        let mut next = shared(&origin);
        next.listen = address;
        let successor = Gateway::start(next).unwrap();
        assert_eq!(gateway.shutdown(PATIENCE).await.cut, 0);
        gateway = successor;
    }
    seen.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        timeout(PATIENCE, client).await.unwrap().unwrap();
    }
    // None of the first process's was of use any more.
    assert!(seen.connections.load(Ordering::SeqCst) >= 2 * CLIENTS);
}
