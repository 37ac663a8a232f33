//! What of a head goes on, and what stays.

use crate::fixture::{Origin, Talk, ask, gateway, get, options, status, upstream};
use plunge::proxy::plain::{Gateway, HostHeader};

#[test]
fn fields_of_the_clients_connection_stay_there() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    ask(
        &gateway,
        "GET /a?b HTTP/1.1\r\nHost: example\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: x\r\nProxy-Authorization: x\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\
         X-Kept: yes\r\n\r\n",
    );
    let head = origin.last_head();
    assert!(
        head.starts_with("get /a?b http/1.1\r\nhost: example\r\n"),
        "{head}"
    );
    assert!(head.contains("x-kept: yes\r\n"), "{head}");
    for gone in [
        "x-mine",
        "keep-alive",
        "proxy-",
        "te:",
        "upgrade",
        "http2-settings",
        "connection",
    ] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

#[test]
fn the_client_is_named_and_cannot_name_itself() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-forwarded-for\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   X-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Prefix: /mine\r\nX-Real-IP: 1.2.3.4\r\n\r\n";
    ask(&gateway, request);
    let head = origin.last_head();
    assert!(!head.contains("x-forwarded-prefix"), "{head}");
    assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("x-forwarded-proto: http\r\n"), "{head}");
    assert!(head.contains("x-forwarded-host: a\r\n"), "{head}");
    assert!(!head.contains("1.2.3.4"), "{head}");
}

/// What servers believe of a proxy beside the three that this one writes.
const CLAIMS: &str = "X-Forwarded-Prefix: /claim\r\nX-Forwarded-Port: 99\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\n\
                      X-Forwarded-Server: claim\r\nX-Forwarded-User: claim\r\nX-Real-IP: 1.2.3.4\r\nX-Mine: kept\r\n";

#[test]
fn nothing_that_a_client_claims_as_a_proxy_goes_on_unless_it_is_believed() {
    let origin = Origin::hello();
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{CLAIMS}\r\n");
    ask(&gateway(&origin), &request);
    let head = origin.last_head();
    assert_eq!(head.matches("x-forwarded-").count(), 3, "{head}");
    assert!(!head.contains("x-real-ip"), "{head}");
    assert!(head.contains("x-mine: kept\r\n"), "{head}");
    let mut options = options(upstream(&[&origin]));
    options.limits.trust_forwarded = true;
    ask(&Gateway::start(options).unwrap(), &request);
    let head = origin.last_head();
    assert!(head.contains(&CLAIMS.to_lowercase()), "{head}");
}

#[test]
fn a_client_that_is_a_proxy_is_believed_if_told_so() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.limits.trust_forwarded = true;
    let gateway = Gateway::start(options).unwrap();
    ask(
        &gateway,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n",
    );
    let head = origin.last_head();
    assert!(
        head.contains("x-forwarded-for: 1.2.3.4, 127.0.0.1\r\n"),
        "{head}"
    );
    assert!(head.contains("x-forwarded-proto: https\r\n"), "{head}");
    assert!(!head.contains("x-forwarded-proto: http\r\n"), "{head}");
}

#[test]
fn the_host_is_the_clients_or_the_one_that_is_set() {
    let origin = Origin::hello();
    let mut named = options(upstream(&[&origin]));
    named.routes[0].host_header = HostHeader::Named("inside".into());
    let gateway = Gateway::start(named).unwrap();
    get(&gateway, "/");
    assert!(origin.last_head().contains("\r\nhost: inside\r\n"));
    assert!(origin.last_head().contains("x-forwarded-host: a\r\n"));
}

#[test]
fn a_target_with_a_host_goes_before_the_field() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    ask(
        &gateway,
        "GET http://real/x HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n",
    );
    let head = origin.last_head();
    assert!(
        head.starts_with("get /x http/1.1\r\nhost: real\r\n"),
        "{head}"
    );
    assert_eq!(head.matches("\nhost:").count(), 1, "{head}");
}

#[test]
fn fields_of_the_upstreams_connection_stay_there() {
    let origin = Origin::answering(
        "HTTP/1.1 200 Fine\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
         Upgrade: h2c\r\nProxy-Authenticate: x\r\nX-Kept: yes\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = gateway(&origin);
    let answer = get(&gateway, "/").to_lowercase();
    assert!(answer.starts_with("http/1.1 200 fine\r\n"), "{answer}");
    assert!(answer.contains("x-kept: yes\r\n"), "{answer}");
    for gone in ["x-mine", "keep-alive", "upgrade", "proxy-"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
}

#[test]
fn an_old_client_is_answered_in_its_way() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let gateway = gateway(&origin);
    let answer = ask(&gateway, "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(!answer.contains("chunked"), "{answer}");
    // One that has no host of its own gets the upstream's.
    assert!(
        origin
            .last_head()
            .contains(&format!("\r\nhost: {}\r\n", origin.address))
    );
}

#[test]
fn an_old_client_keeps_its_connection_if_it_asks_and_the_length_is_known() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let mut talk = Talk::to(gateway.address());
    for _ in 0..2 {
        talk.say("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
        let head = talk.head().unwrap();
        assert!(head.contains("connection: keep-alive\r\n"), "{head}");
        assert_eq!(talk.bytes(5).unwrap(), b"hello");
    }
}

#[test]
fn answers_that_are_no_http_are_502() {
    let shapes = [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\nx: y\n\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    ];
    for shape in shapes {
        let origin = Origin::answering(shape);
        let gateway = gateway(&origin);
        let answer = get(&gateway, "/");
        assert_eq!(status(&answer), 502, "{shape:?}: {answer}");
    }
}

#[test]
fn what_comes_after_an_answer_is_nobodys() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
    );
    let gateway = gateway(&origin);
    for _ in 0..3 {
        let answer = get(&gateway, "/");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    assert_eq!(origin.connections(), 3, "each costs its connection");
}

#[test]
fn a_name_that_differs_by_an_underscore_alone_does_not_go_on() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let request = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\nContent_Length: 9\r\n\
                   Transfer_Encoding: chunked\r\nX_Forwarded_For: 1.2.3.4\r\nX-Forwarded_For: 1.2.3.4\r\n\
                   my_own: yes\r\n\r\nx";
    ask(&gateway, request);
    let head = origin.last_head();
    assert!(head.contains("my_own: yes\r\n"), "{head}");
    for gone in ["content_length", "transfer_encoding", "1.2.3.4"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

#[test]
fn a_trace_goes_on_with_a_span_of_the_proxy_or_begins_here() {
    let origin = Origin::hello();
    let gateway = gateway(&origin);
    let known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = |fields: &str| {
        ask(
            &gateway,
            format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n"),
        );
        let head = origin.last_head();
        assert_eq!(head.matches("\ntraceparent: 00-").count(), 1, "{head}");
        let (_, rest) = head.split_once("\ntraceparent: ").unwrap();
        let parent = rest.lines().next().unwrap().to_owned();
        assert_eq!(parent.len(), 55, "{parent}");
        (parent, head)
    };
    let (parent, head) = sent(&format!(
        "Traceparent: {known}\r\ntracestate: a=b\r\nTracestate: c=d\r\n"
    ));
    assert!(
        parent.starts_with(&known[..36]) && parent.ends_with("-01"),
        "{parent}"
    );
    assert!(!parent.contains("b7ad6b7169203331"), "{parent}");
    assert!(
        head.contains("\ntracestate: a=b\r\n") && head.contains("\ntracestate: c=d\r\n"),
        "{head}"
    );
    for fields in [
        String::new(),
        "traceparent: nonsense\r\ntracestate: a=b\r\n".to_owned(),
        format!("traceparent: {known}\r\ntraceparent: {known}\r\ntracestate: a=b\r\n"),
    ] {
        let (parent, head) = sent(&fields);
        assert!(!parent.contains("0af7651916cd43dd"), "{parent}");
        assert!(!head.contains("tracestate"), "{head}");
    }
}
