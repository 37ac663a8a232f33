//! What is written of a head reads the same again, whatever came in.

use proptest::prelude::*;

use super::{Client, Framing, Terms, parse_request, parse_response};
use crate::proxy::plain::connection::Pools;
use crate::proxy::plain::lanes::Upstream;
use crate::proxy::plain::options::{HeadLimits, RouteOptions, UpstreamOptions};
use crate::proxy::plain::table::{Route, Table};
use crate::sync::Arc;
use crate::transport::http::HttpTarget;

const CLIENT: Client = Client {
    is_head: false,
    is_old: false,
    keep_alive: true,
    upgrade: false,
};

#[test]
fn a_head_that_is_not_over_is_waited_for_at_every_byte() {
    let text = b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 3\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(
            parse_response(&text[..end], CLIENT, &mut Vec::new()),
            Ok(None),
            "{end}"
        );
    }
    let response = parse_response(text, CLIENT, &mut Vec::new())
        .unwrap()
        .unwrap();
    assert_eq!(
        (response.head_bytes, response.framing),
        (text.len(), Framing::Length(3))
    );
}

proptest! {
    #[test]
    fn what_goes_on_has_one_reading(lines in prop::collection::vec(line(), 0..6)) {
        let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines.concat());
        let mut out = Vec::new();
        if let Ok(Some(first)) = parse_response(text.as_bytes(), CLIENT, &mut out) {
            let again = parse_response(&out, CLIENT, &mut Vec::new()).unwrap().unwrap();
            prop_assert_eq!(again.framing, first.writing);
            prop_assert_eq!(again.head_bytes, out.len());
            let out = String::from_utf8(out).unwrap().to_lowercase();
            prop_assert!(out.matches("\r\ncontent-length:").count() + out.matches("\r\ntransfer-encoding:").count() <= 1);
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    let names = [
        "content-length",
        "Content-Length",
        "transfer-encoding",
        "connection",
        "x",
        "upgrade",
        "te ",
    ];
    let values = [
        "5",
        "7",
        "chunked",
        "gzip, chunked",
        "close",
        "x, content-length",
        "a\r\n b",
        "",
        "5\nx: y",
    ];
    (
        prop::sample::select(names.to_vec()),
        prop::sample::select(values.to_vec()),
    )
        .prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

/// Routes of which one leads everywhere.
fn everywhere() -> Table {
    let target = HttpTarget::parse("http://127.0.0.1:1").unwrap();
    let options = RouteOptions::new(UpstreamOptions::new("all", vec![target]));
    let pools = Pools::new(1).unwrap();
    let upstream = Arc::new(Upstream::new(options.upstream.clone(), &[], &pools));
    Table::new(vec![Route { options, upstream }])
}

proptest! {
    #[test]
    fn a_request_that_goes_on_has_one_reading_and_it_is_the_clients(
        method in prop::sample::select(vec!["GET", "POST", "HEAD"]),
        target in prop::sample::select(vec!["/a", "/a?b", "http://h/a", "/a b", "*", "/\u{e9}"]),
        lines in prop::collection::vec(line(), 0..6),
    ) {
        let (table, limits) = (everywhere(), HeadLimits::default());
        let terms = Terms { peer: "::1", limits: &limits, table: &table };
        let text = format!("{method} {target} HTTP/1.1\r\nhost: h\r\n{}\r\n", lines.concat());
        let mut out = Vec::new();
        if let Ok(Some(first)) = parse_request(text.as_bytes(), &terms, &mut out) {
            let again = parse_request(&out, &terms, &mut Vec::new());
            let again = again.unwrap_or_else(|refusal| panic!("{refusal:?}: {out:?}")).unwrap();
            prop_assert_eq!(again.framing, first.framing);
            prop_assert_eq!(again.head_bytes, out.len());
            prop_assert_eq!(first.head_bytes, text.len());
            let out = String::from_utf8(out).unwrap().to_lowercase();
            prop_assert_eq!(out.matches("\r\nhost:").count(), 1);
            prop_assert!(out.matches("content-length:").count() + out.matches("transfer-encoding:").count() <= 1);
        }
    }
}
