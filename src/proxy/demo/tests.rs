//! The demo server's answers.

use serde_json::{Value, json};

use super::answer::{Demo, Outcome};

fn ask(demo: &mut Demo, message: &Value) -> Value {
    let mut out = Vec::new();
    assert!(matches!(
        demo.answer(message.to_string().as_bytes(), &mut out),
        Outcome::Done
    ));
    assert_eq!(out.pop(), Some(b'\n'));
    assert!(!out.contains(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

fn call(demo: &mut Demo, name: &str, arguments: Value) -> Value {
    ask(
        demo,
        &json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": name, "arguments": arguments}}),
    )
}

#[test]
fn each_tool_answers() {
    let mut demo = Demo::default();
    assert_eq!(
        call(&mut demo, "echo", json!({"message": "a\"\n\u{1F600}"}))["result"]["content"][0]["text"],
        "a\"\n\u{1F600}"
    );
    assert_eq!(
        call(&mut demo, "add", json!({"a": 1, "b": 2.5}))["result"]["content"][0]["text"],
        "3.5"
    );
    assert_eq!(
        call(&mut demo, "counter", json!({}))["result"]["content"][0]["text"],
        "1"
    );
    assert_eq!(
        call(&mut demo, "counter", json!({}))["result"]["content"][0]["text"],
        "2"
    );
    let listed = ask(
        &mut demo,
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    );
    let names: Vec<_> = listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["echo", "add", "sleep", "counter"]);
}

#[test]
fn a_call_that_does_not_fit_is_an_error_with_its_id() {
    let mut demo = Demo::default();
    for (name, arguments) in [
        ("echo", json!({})),
        ("echo", json!({"message": 1})),
        ("add", json!({"a": 1})),
        ("sleep", json!({"ms": 700_000})),
        ("none", json!({})),
    ] {
        let answer = call(&mut demo, name, arguments);
        assert_eq!(answer["id"], "x");
        assert!(answer["error"]["message"].is_string(), "{name}");
    }
    assert_eq!(
        ask(
            &mut demo,
            &json!({"jsonrpc": "2.0", "id": 1, "method": "nope"})
        )["error"]["code"],
        -32601
    );
}

#[test]
fn the_clients_revision_is_taken_where_it_is_known() {
    let mut demo = Demo::default();
    let mut initialize = |version: &str| {
        ask(&mut demo, &json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": version}}))["result"]["protocolVersion"].clone()
    };
    assert_eq!(initialize("2025-03-26"), "2025-03-26");
    assert_eq!(initialize("1999-01-01"), "2025-11-25");
}

#[test]
fn noise_is_answered_or_ignored_but_never_fatal() {
    let mut demo = Demo::default();
    let mut out = Vec::new();
    for line in [
        &b"\n"[..],
        b"  \n",
        br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        br#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        demo.answer(line, &mut out);
        assert!(out.is_empty());
    }
    demo.answer(b"nonsense\n", &mut out);
    assert!(out.starts_with(br#"{"jsonrpc":"2.0","id":null,"error""#));
}

#[test]
fn a_sleep_is_left_to_the_clock_and_a_cancellation_names_it() {
    let mut demo = Demo::default();
    let mut out = Vec::new();
    let sleep = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "sleep", "arguments": {"ms": 5}}});
    assert!(
        matches!(demo.answer(sleep.to_string().as_bytes(), &mut out), Outcome::Sleep { id, ms: 5 } if id == "7")
    );
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert!(
        matches!(demo.answer(cancel.to_string().as_bytes(), &mut out), Outcome::Wake { id } if id == "7")
    );
    assert!(out.is_empty());
}
