//! What a shared child said of itself, and what its clients are told of that.

use super::hello::Hello;
use crate::proxy::http::Version;
use crate::proxy::wire::RawId;

pub(super) const SAID: &[u8] = br#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"logging":{},"tools":{},"resources":{"subscribe":true,"listChanged":true}},"serverInfo":{"name":"s","version":"1"}}}"#;

#[test]
fn clients_are_offered_what_can_be_shared_in_their_own_revision() {
    let hello = Hello::read(SAID).unwrap();
    assert_eq!(
        hello.agree(Some(Version::V2024_11_05)),
        Version::V2024_11_05
    );
    assert_eq!(
        hello.agree(Some(Version::V2025_11_25)),
        Version::V2025_06_18
    );
    assert_eq!(hello.agree(None), Version::V2025_06_18);
    let answer: serde_json::Value = serde_json::from_slice(
        &hello
            .answer(&RawId::new("\"i\""), Version::V2025_03_26, false)
            .unwrap(),
    )
    .unwrap();
    assert_eq!(answer["id"], "i");
    assert_eq!(answer["result"]["protocolVersion"], "2025-03-26");
    assert_eq!(
        answer["result"]["capabilities"],
        serde_json::json!({"tools": {}, "resources": {"listChanged": true}})
    );
    let answer = hello.answer(&RawId::new("1"), Version::V2025_03_26, true);
    let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(
        answer["result"]["capabilities"]["resources"],
        serde_json::json!({"listChanged": true, "subscribe": true}),
        "where each client has a session of its own"
    );
}

#[test]
fn a_child_that_refuses_or_speaks_another_revision_is_named() {
    assert!(
        Hello::read(br#"{"error":{"code":-1,"message":"no"}}"#)
            .unwrap_err()
            .contains("refused")
    );
    assert!(
        Hello::read(br#"{"result":{"protocolVersion":"1999-01-01"}}"#)
            .unwrap_err()
            .contains("1999-01-01")
    );
    assert!(Hello::read(br#"{"result":{}}"#).is_err());
}
