//! How a connection in HTTP/1.1 before an upstream in h2 ends: whatever its client began, and whatever it says then.

use std::convert::Infallible;
use std::net::Shutdown;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plunge::proxy::plain::{Gateway, UpstreamOptions};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::fixture::{Talk, eventually, is_at_rest, options, status};
use crate::h2::{echo, place};

/// An upstream in h2 that answers a request for each permit it is given.
async fn patient() -> (UpstreamOptions, Arc<Semaphore>) {
    let (listener, upstream) = place("patient").await;
    let permits = Arc::new(Semaphore::new(0));
    let given = permits.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let permits = permits.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let permits = permits.clone();
                async move {
                    permits.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("ok"))))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (upstream, given)
}

const LAST: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[test]
fn a_head_that_nobody_will_read_holds_no_connection() {
    let runtime = Runtime::new().unwrap();
    let (upstream, permits) = runtime.block_on(patient());
    let gateway = Gateway::start(options(upstream)).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say(format!("{LAST}G"));
    eventually("the request is on its way", || !is_at_rest(&gateway));
    // More than is read ahead of an answer.
    let long = "y".repeat(20 << 10);
    talk.say(format!("ET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"));
    permits.add_permits(1);
    let all = talk.rest();
    assert_eq!(status(&all), 200);
    assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{all}");
    // Its client keeps its side open.
    eventually("the connection is gone", || gateway.stats().clients == 0);
    drop(talk);
}

#[test]
fn a_client_that_says_more_after_the_end_is_heard_out_and_not_reset() {
    let runtime = Runtime::new().unwrap();
    let (upstream, _) = runtime.block_on(echo(true));
    let gateway = Gateway::start(options(upstream)).unwrap();
    for begun in ["", "GET / HT"] {
        let mut talk = Talk::to(gateway.address());
        talk.say(format!("{LAST}{begun}"));
        assert_eq!(status(&talk.rest()), 200);
        // A reset would take with it what the client did not read yet.
        for _ in 0..3 {
            assert!(talk.say([b'x'; 4096]), "begun: {begun:?}");
        }
        talk.stream.shutdown(Shutdown::Write).unwrap();
        eventually("the connection is gone", || gateway.stats().clients == 0);
        let reset = talk.stream.take_error().unwrap();
        assert!(reset.is_none(), "begun: {begun:?}: {reset:?}");
    }
}

#[test]
fn a_check_in_http_1_0_that_names_no_host_is_served() {
    let runtime = Runtime::new().unwrap();
    let (upstream, _) = runtime.block_on(echo(true));
    let named = upstream.targets[0].to_string();
    let named = named.trim_end_matches('/');
    let gateway = Gateway::start(options(upstream)).unwrap();
    let mut talk = Talk::to(gateway.address());
    talk.say("OPTIONS / HTTP/1.0\r\n\r\n");
    let answer = talk.rest();
    assert_eq!(status(&answer), 200, "{answer}");
    // The upstream is asked for what its URL names.
    assert!(
        answer.contains(&format!("x-seen: {named}/ HTTP/2.0\r\n")),
        "{answer}"
    );
}
