//! The envelope, ids, params and splicing.

use bytes::Bytes;

use super::*;

fn refused(text: &str) -> &'static str {
    match parse(text.as_bytes()) {
        Err(EnvelopeError::NotMessage(reason)) => reason,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn members_tell_requests_notifications_and_responses_apart() {
    let request = parse(br#"{"jsonrpc":"2.0","id":7,"method":"tools\/call","params":{}}"#).unwrap();
    assert!(matches!(&request.kind, Kind::Request { id: "7", method } if method == "tools/call"));
    let notification = parse(br#" {"jsonrpc":"2.0","method":"ping"} "#).unwrap();
    assert!(matches!(&notification.kind, Kind::Notification { method } if method == "ping"));
    let result = parse(br#"{"result":null,"jsonrpc":"2.0","id":"a"}"#).unwrap();
    assert!(matches!(
        result.kind,
        Kind::Response {
            id: Some("\"a\""),
            is_result: true
        }
    ));
    let error = parse(br#"{"jsonrpc":"2.0","id":null,"error":{}}"#).unwrap();
    assert!(matches!(
        error.kind,
        Kind::Response {
            id: None,
            is_result: false
        }
    ));
}

#[test]
fn ambiguous_and_incomplete_messages_are_refused() {
    assert_eq!(
        refused(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#),
        "a member appears twice"
    );
    assert_eq!(
        refused(r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#),
        "\"jsonrpc\" has to be \"2.0\""
    );
    assert_eq!(
        refused(r#"{"id":1,"method":"a"}"#),
        "\"jsonrpc\" has to be \"2.0\""
    );
    for id in ["null", "true", "{}", "[1]"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a"}}"#);
        assert_eq!(refused(&text), "an id is a string or a number");
    }
    refused(r#"{"jsonrpc":"2.0","id":1}"#);
    refused(r#"{"jsonrpc":"2.0","id":1,"method":3}"#);
    refused(r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#);
    refused(r#"{"jsonrpc":"2.0","id":1,"error":{},"result":1}"#);
    refused(r#"{"jsonrpc":"2.0","id":1,"error":null}"#);
    refused(r#"{"jsonrpc":"2.0","result":1}"#);
    assert_eq!(refused("3"), "a message is a JSON object");
}

#[test]
fn bytes_that_are_no_json_are_refused_with_their_place() {
    for bytes in [
        &b"{\"jsonrpc\":"[..],
        b"",
        b"nonsense",
        b"{} {}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":1}\n{\"b\":2}",
    ] {
        assert!(
            matches!(parse(bytes), Err(EnvelopeError::NotJson(_))),
            "{bytes:?}"
        );
    }
}

#[test]
fn deep_nesting_neither_overflows_nor_is_copied() {
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    assert!(parse(deep.as_bytes()).is_ok());
}

#[test]
fn a_string_and_a_number_are_different_ids() {
    let same = |one: &str, other: &str| RequestId::from_raw(one) == RequestId::from_raw(other);
    assert!(!same("1", "\"1\""));
    assert!(same("1", "1.0") && same("100", "1e2") && same("-0", "0"));
    assert!(same("\"a\"", r#""\u0061""#));
    assert!(!same("9007199254740993", "9007199254740992.0"));
    assert_eq!(RequestId::from_raw("null"), None);
}

#[test]
fn a_kept_id_is_byte_for_byte_what_was_sent() {
    for raw in [
        "1",
        "1.0",
        "\"\\u0061\"",
        &format!("\"{}\"", "x".repeat(500)),
        &"9".repeat(30),
        &"9".repeat(31),
    ] {
        assert_eq!(RawId::new(raw).as_bytes(), raw.as_bytes());
    }
}

#[test]
fn a_token_is_found_however_its_name_is_spelled() {
    assert_eq!(
        progress_token(Some(r#"{"_meta":{"progressToken":5}}"#)),
        Ok(Some("5"))
    );
    assert_eq!(
        progress_token(Some(r#"{"_meta":{"progress\u0054oken":"x"}}"#)),
        Ok(Some("\"x\""))
    );
    assert_eq!(
        progress_token(Some(r#"{"\u005fmeta":{"progressToken":5}}"#)),
        Ok(Some("5"))
    );
    assert_eq!(
        progress_token(Some(r#"{"arguments":{"progressToken":5}}"#)),
        Ok(None)
    );
    assert_eq!(
        progress_token(Some(r#"{"_meta":{"progressToken":null}}"#)),
        Ok(None)
    );
    assert_eq!(progress_token(Some(r#"[{"progressToken":1}]"#)), Ok(None));
    assert_eq!(progress_token(None), Ok(None));
    assert!(progress_token(Some(r#"{"_meta":{"progressToken":5,"progressToken":6}}"#)).is_err());
    assert!(progress_token(Some(r#"{"_meta":{},"_meta":{"progressToken":6}}"#)).is_err());
}

#[test]
fn splicing_replaces_two_spans_in_any_order_and_nothing_else() {
    let text = r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"progressToken":"t"},"x":1.50},"id":"client"}"#;
    let message = parse(text.as_bytes()).unwrap();
    let Kind::Request { id, .. } = message.kind else {
        panic!("a request")
    };
    let token = progress_token(message.params).unwrap().unwrap();
    let spliced = Splice::one(message.span(id), b"9")
        .and(message.span(token), b"10")
        .apply(text.as_bytes());
    assert_eq!(
        spliced,
        text.replace("\"client\"", "9").replace("\"t\"", "10")
    );
}

#[test]
fn line_ends_between_tokens_become_blanks() {
    let pretty = Bytes::from_static(b"{\r\n \"a\":\n\"x\\ny\"}");
    assert_eq!(single_line(pretty), "{   \"a\": \"x\\ny\"}");
}

#[test]
fn a_batch_is_split_without_copying() {
    let batch = Bytes::from_static(br#" [ {"a":1} , [2] ] "#);
    assert!(is_batch(&batch));
    assert_eq!(
        batch_items(&batch).unwrap(),
        [Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"[2]")]
    );
}

#[test]
fn a_fault_is_a_json_rpc_error_with_the_id_it_answers() {
    let fault = Fault::new(Code::TimedOut, "said \"no\"");
    let json: serde_json::Value = serde_json::from_slice(&fault.to_json(Some(b"\"x\""))).unwrap();
    assert_eq!(json["id"], "x");
    assert_eq!(json["error"]["message"], "said \"no\"");
    assert_eq!(json["error"]["data"]["kind"], "timed_out");
    assert_eq!(fault.code.status(), 504);
}

#[test]
fn an_answer_that_is_none_names_its_request_where_nothing_else_can_be_meant() {
    let meant_for = |line: &str| {
        let error = parse(line.as_bytes()).err()?;
        let (id, fault) = broken_answer(line.as_bytes(), &error)?;
        assert_eq!(fault.code, Code::UpstreamFailed);
        Some(id)
    };
    for line in [
        r#"{"jsonrpc":"2.0","id":7}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":null,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","error":{}}"#,
        r#"{"id":7,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"id":7,"result":{}}"#,
    ] {
        assert_eq!(meant_for(line), Some(RequestId::Integer(7)), "{line}");
    }
    for line in [
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        r#"{"id":7,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","result":null,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"id":8,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{}"#,
        r#"[{"id":7,"result":{}},{"id":8,"result":{}}]"#,
        "[]",
        "7",
    ] {
        assert_eq!(meant_for(line), None, "{line}");
    }
}

#[test]
fn a_null_beside_what_an_answer_says_is_left_out() {
    let mend = |line: &str| {
        let error = parse(line.as_bytes()).err()?;
        let mended = mended(line.as_bytes(), &error)?;
        assert!(parse(&mended).is_ok(), "{line}");
        Some(String::from_utf8_lossy(&mended).into_owned())
    };
    for (line, wanted) in [
        (
            r#"{"jsonrpc":"2.0","id":7,"result":{},"error":null}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        ),
        (
            r#"{"error":null,"result":{"error":null},"jsonrpc":"2.0","id":7}"#,
            r#"{"result":{"error":null},"jsonrpc":"2.0","id":7}"#,
        ),
        (
            r#"{ "jsonrpc":"2.0", "id":7, "err\u006fr" : null , "result":[1.0] }"#,
            r#"{ "jsonrpc":"2.0", "id":7,  "result":[1.0] }"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"result":null,"error":{"code":1}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":1}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","error":{"code":1},"id":7 , "result" : null }"#,
            r#"{"jsonrpc":"2.0","error":{"code":1},"id":7  }"#,
        ),
    ] {
        assert_eq!(mend(line).as_deref(), Some(wanted));
    }
    for line in [
        r#"{"jsonrpc":"2.0","id":7,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":null,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"ping","result":{},"error":null}"#,
        r#"{"jsonrpc":"2.0","id":7,"result":{},"error":null"#,
    ] {
        assert_eq!(mend(line), None, "{line}");
    }
}

#[test]
fn what_changes_nothing_may_be_sent_twice_and_without_sessions_lists_alone() {
    let lists = ["tools/list", "resources/templates/list", "server/discover"];
    let reads = [
        "ping",
        "resources/read",
        "prompts/get",
        "completion/complete",
    ];
    let others = [
        "tools/call",
        "initialize",
        "tasks/cancel",
        "subscriptions/listen",
    ];
    for (methods, older, modern) in [
        (&lists[..], true, true),
        (&reads, true, false),
        (&others, false, false),
    ] {
        for method in methods {
            let both = [false, true].map(|is_modern| is_repeatable(method, is_modern));
            assert_eq!(both, [older, modern], "{method}");
        }
    }
}
