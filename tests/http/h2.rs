//! h2 in front, behind, and on both sides.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plunge::proxy::plain::{Gateway, UpstreamOptions};
use plunge::transport::http::HttpTarget;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::fixture::{
    Origin, PATIENCE, Talk, addresses, eventually, is_at_rest, options, upstream,
};

pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// Where an upstream in h2 is to be.
pub async fn place(name: &str) -> (TcpListener, UpstreamOptions) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = HttpTarget::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut upstream = UpstreamOptions::new(name, vec![target]);
    upstream.h2 = true;
    (listener, upstream)
}

/// An upstream that gives every body back, trailers too, with what it saw of the head; how many connections it
/// had.
pub async fn echo(h2: bool) -> (UpstreamOptions, Arc<AtomicUsize>) {
    let (listener, mut upstream) = place("echo").await;
    upstream.h2 = h2;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(|request: Request<Incoming>| async move {
                let forwarded = request.headers().get("x-forwarded-for").cloned();
                let host = request.headers().get("host").cloned();
                let seen = format!("{} {:?}", request.uri(), request.version());
                let mut answer = Response::new(request.into_body());
                answer.headers_mut().insert("x-seen", seen.parse().unwrap());
                answer.headers_mut().insert("x-peer", forwarded.unwrap());
                if let Some(host) = host {
                    answer.headers_mut().insert("x-host", host);
                }
                Ok::<_, Infallible>(answer)
            });
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                match h2 {
                    true => {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        server.serve_connection(io, service).await
                    }
                    false => {
                        let server = hyper::server::conn::http1::Builder::new();
                        server.serve_connection(io, service).await
                    }
                }
            });
        }
    });
    (upstream, connections)
}

pub async fn client(address: SocketAddr) -> http2::SendRequest<Body> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub fn whole(text: &'static str) -> Body {
    Full::new(Bytes::from(text)).boxed_unsync()
}

/// Asks for a path, and waits for the head of what is answered.
pub async fn ask(
    sender: &mut http2::SendRequest<Body>,
    address: SocketAddr,
    method: &str,
    path: &str,
) -> Response<Incoming> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("http://{address}{path}"));
    let asking = sender.send_request(request.body(whole("")).unwrap());
    timeout(PATIENCE, asking).await.unwrap().unwrap()
}

pub fn request(address: SocketAddr, body: Body) -> Request<Body> {
    Request::post(format!("http://{address}/path?q"))
        .body(body)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_h2_reaches_either_kind_of_upstream_over_kept_connections() {
    for h2 in [false, true] {
        let (upstream, connections) = echo(h2).await;
        let gateway = Gateway::start(options(upstream)).unwrap();
        let address = gateway.address();
        let mut sender = client(address).await;
        for _ in 0..5 {
            let answer = sender
                .send_request(request(address, whole("hello")))
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()["x-peer"], "127.0.0.1");
            let seen = answer.headers()["x-seen"].to_str().unwrap().to_owned();
            assert!(seen.contains("/path?q HTTP/"), "{seen}");
            assert_eq!(seen.contains("HTTP/2.0"), h2, "{seen}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "hello");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "h2: {h2}");
        eventually("nothing is held", || is_at_rest(&gateway));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_in_h2_share_one_connection_to_an_upstream_in_h2() {
    let (upstream, connections) = echo(true).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let sender = client(address).await;
    let mut first = sender.clone();
    first
        .send_request(request(address, whole("x")))
        .await
        .unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let answer = sender
                    .send_request(request(address, whole("hello")))
                    .await
                    .unwrap();
                answer.into_body().collect().await.unwrap().to_bytes()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(timeout(PATIENCE, task).await.unwrap().unwrap(), "hello");
    }
    assert!(
        connections.load(Ordering::SeqCst) <= 3,
        "few connections: {connections:?}"
    );
    eventually("nothing is held", || is_at_rest(&gateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_move_both_ways_at_the_same_time_and_trailers_come_through() {
    let (upstream, _) = echo(true).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let address = gateway.address();
    let (pieces, stream) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let stream = futures::stream::unfold(stream, |mut stream| async {
        stream.recv().await.map(|frame| (frame, stream))
    });
    let mut sender = client(address).await;
    let body = StreamBody::new(stream).boxed_unsync();
    let answer = timeout(PATIENCE, sender.send_request(request(address, body)))
        .await
        .unwrap()
        .unwrap();
    let mut body = answer.into_body();
    for _ in 0..5 {
        pieces
            .send(Ok(Frame::data(Bytes::from("piece"))))
            .await
            .unwrap();
        let frame = timeout(PATIENCE, body.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), "piece");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "5".parse().unwrap());
    pieces.send(Ok(Frame::trailers(trailers))).await.unwrap();
    drop(pieces);
    let frame = timeout(PATIENCE, body.frame())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(frame.into_trailers().unwrap()["x-sum"], "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_http_1_reaches_an_upstream_in_h2() {
    let (upstream, connections) = echo(true).await;
    let gateway = Gateway::start(options(upstream)).unwrap();
    let io = TokioIo::new(TcpStream::connect(gateway.address()).await.unwrap());
    let (mut sender, connection) = http1::handshake::<_, Body>(io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        sender.ready().await.unwrap();
        let request = Request::post("/x")
            .header("host", "a")
            .header("connection", "x-mine")
            .header("x-mine", "1");
        let answer = sender
            .send_request(request.body(whole("hello")).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-seen"], "http://a/x HTTP/2.0");
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "hello"
        );
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_refusals_hold_in_h2_too() {
    let origin = Origin::hello();
    let mut limited = options(upstream(&[&origin]));
    limited.limits.max_body_bytes = 10;
    limited.limits.max_target_bytes = 100;
    limited.routes[0].prefix = "/path".into();
    let gateway = Gateway::start(limited).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let long = format!("http://{address}/path{}", "x".repeat(200));
    let cases = [
        (
            Request::post(format!("http://{address}/path")).body(whole("more than ten bytes")),
            413,
        ),
        (Request::get(long).body(whole("")), 414),
        (
            Request::get(format!("http://{address}/other")).body(whole("")),
            404,
        ),
        (
            Request::get(format!("http://{address}/path")).body(whole("")),
            200,
        ),
    ];
    for (request, expected) in cases {
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_in_h2_that_leaves_in_the_middle_costs_no_capacity() {
    let origin = Origin::scripted(|talk, _| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
        while talk.say([b'a'; 65536]) {}
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    for _ in 0..5 {
        let mut sender = client(gateway.address()).await;
        let answer = sender
            .send_request(request(gateway.address(), whole("")))
            .await
            .unwrap();
        drop((answer, sender));
    }
    eventually("nothing is held", || {
        is_at_rest(&gateway) && gateway.stats().clients == 0
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_before_the_answer_is_counted_in_h2_as_in_http_1() {
    let silent = Origin::scripted(|talk, _| drop(talk.rest()));
    let mut in_h2 = upstream(&[&silent]);
    in_h2.h2 = true;
    // It is not heard of again, so it takes no request: those wait for it.
    for upstream in [upstream(&[&silent]), in_h2] {
        let gateway = Gateway::start(options(upstream)).unwrap();
        let address = gateway.address();
        let mut talk = Talk::to(address);
        talk.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut sender = client(address).await;
        let asking = sender.send_request(request(address, whole("")));
        let asking = tokio::spawn(asking);
        eventually("both are under way", || {
            addresses(&gateway)[0].in_flight == 2
        });
        drop(talk);
        asking.abort();
        eventually("both are counted", || gateway.stats().broken == 2);
        assert_eq!(addresses(&gateway)[0].failures, 0);
        eventually("nothing is held", || is_at_rest(&gateway));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_still_coming_is_not_in_the_way_of_the_next_to_its_upstream() {
    let origin = Origin::scripted(|talk, _| {
        while let Some(head) = talk.head() {
            // The answer comes before the body, which never ends.
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            if head.starts_with("POST") {
                talk.rest();
            }
        }
    });
    let gateway = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let address = gateway.address();
    let mut sender = client(address).await;
    let endless = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Infallible>>());
    for body in [endless.boxed_unsync(), whole("")] {
        let method = if body.is_end_stream() { "GET" } else { "POST" };
        let request = Request::builder().method(method);
        let request = request.uri(format!("http://{address}/")).body(body);
        let asking = sender.send_request(request.unwrap());
        let answer = timeout(PATIENCE, asking).await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let body = timeout(PATIENCE, answer.into_body().collect()).await;
        assert_eq!(body.unwrap().unwrap().to_bytes(), "ok");
        eventually("its connection is given back", || is_at_rest(&gateway));
    }
    assert_eq!(origin.connections(), 2);
}
