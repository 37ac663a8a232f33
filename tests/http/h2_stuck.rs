//! Clients in h2 that do not take what they asked for: nothing is held for them for ever, and what they take slowly
//! comes whole.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plunge::proxy::plain::{Gateway, RouteOptions};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::fixture::{Origin, PATIENCE, eventually, is_at_rest, options, upstream};
use crate::h2::{Body, client, whole};

/// A client that takes so many bytes of each answer before it has to make room for more.
async fn narrow(address: SocketAddr, window: u32) -> http2::SendRequest<Body> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(io)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn get(address: SocketAddr, path: &str) -> Request<Body> {
    let request = Request::get(format!("http://{address}{path}"));
    request.body(whole("")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_proxy_that_no_client_takes_holds_nothing() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.client_idle = Duration::from_millis(100);
    options.routes[0].prefix = "/api".into();
    let gateway = Gateway::start(options).unwrap();
    let mut sender = narrow(gateway.address(), 0).await;
    let asking = sender.send_request(get(gateway.address(), "/nowhere"));
    let answer = asking.await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let body = timeout(PATIENCE, answer.into_body().collect());
    assert!(body.await.unwrap().is_err(), "its stream is reset");
    eventually("the client is let go", || gateway.stats().clients == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_does_not_wait_for_a_client_that_takes_nothing() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.client_idle = Duration::from_millis(500);
    options.routes[0].prefix = "/api".into();
    let gateway = Gateway::start(options).unwrap();
    let mut sender = narrow(gateway.address(), 0).await;
    let asking = sender.send_request(get(gateway.address(), "/nowhere"));
    let answer = asking.await.unwrap();
    assert_eq!(gateway.shutdown(PATIENCE).await.cut, 0);
    drop(answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stands_still_ends_alone() {
    let endless = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while talk.say([b'a'; 65536]) {}
    });
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let patient = Origin::scripted(move |talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfirst");
        let _ = wait.lock().unwrap().recv();
        talk.say("last");
        talk.rest();
    });
    let mut options = options(upstream(&[&patient]));
    let mut other = RouteOptions::new(upstream(&[&endless]));
    other.prefix = "/endless".into();
    other.upstream.timeouts.idle = Duration::from_millis(100);
    options.routes.push(other);
    let gateway = Gateway::start(options).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let kept = sender.send_request(get(address, "/")).await.unwrap();
    let stuck = sender.send_request(get(address, "/endless")).await.unwrap();
    let at_rest = || {
        let stats = gateway.stats().upstreams;
        let endless = stats.iter().flat_map(|one| &one.addresses);
        endless.filter(|one| one.leased > 0).count() == 1
    };
    eventually("the one that stands still is given up", at_rest);
    let mut stuck = stuck.into_body();
    let ended = timeout(PATIENCE, async {
        while let Some(frame) = stuck.frame().await {
            if frame.is_err() {
                return true;
            }
        }
        false
    });
    assert!(ended.await.unwrap(), "its stream is reset");
    go.send(()).unwrap();
    let body = timeout(PATIENCE, kept.into_body().collect()).await.unwrap();
    assert_eq!(body.unwrap().to_bytes(), "firstlast");
    let again = sender.ready().await;
    assert!(again.is_ok(), "the connection goes on");
    eventually("nothing is held", || is_at_rest(&gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_an_answer_reaches_a_client_that_takes_it_slowly_at_a_shutdown() {
    const LENGTH: usize = 6_000;
    let origin = Origin::answering(
        [
            format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").into_bytes(),
            vec![b'a'; LENGTH],
        ]
        .concat(),
    );
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let address = gateway.address();
    let mut sender = narrow(address, 1000).await;
    let answer = sender.send_request(get(address, "/")).await.unwrap();
    eventually("all of it is the proxy's", || is_at_rest(&gateway));
    let ending = tokio::spawn(gateway.shutdown(PATIENCE));
    let (mut body, mut taken) = (answer.into_body(), 0);
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.unwrap() {
        taken += frame.unwrap().into_data().unwrap().len();
        // A slow reader: longer in all than one that does nothing is waited for.
        sleep(Duration::from_millis(450)).await;
    }
    assert_eq!(taken, LENGTH);
    assert_eq!(ending.await.unwrap().cut, 0);
}
