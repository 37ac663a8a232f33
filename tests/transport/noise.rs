//! What a child says without being asked does no harm.

use plunge::PoolableResource;
use plunge::transport::Subprocess;

use crate::support::{spawn, until, within};

#[tokio::test]
async fn unsolicited_lines_are_counted_and_survived() {
    let mut child = spawn("echo '{\"hello\":1}'; echo; printf '\\377\\376\\n'; exec cat").await;
    until("they are counted", || child.counters().unsolicited == 3).await;
    assert_eq!(child.counters().not_json, 2);
    assert_eq!(child.counters().invalid_utf8, 1);
    assert!(child.is_healthy());
    assert_eq!(child.request(b"{}").await.unwrap(), "{}");
}

#[tokio::test]
async fn second_answer_is_counted_and_not_given_to_the_next_request() {
    let mut child =
        spawn("while read -r line; do printf '%s\\n%s\\n' \"$line\" \"$line\"; done").await;
    for number in 0..20 {
        let request = format!("{{\"id\":{number}}}");
        assert_eq!(child.request(request.as_bytes()).await.unwrap(), request);
        until("the second is counted", || {
            child.counters().unsolicited == number + 1
        })
        .await;
    }
}

#[tokio::test]
async fn flood_on_standard_error_never_stops_the_child() {
    let script =
        "yes 'a line of an error' | head -n 300000 >&2; head -c 3000000 /dev/zero >&2; exec cat";
    let mut child = spawn(script).await;
    assert_eq!(
        within("the answer", child.request(b"{}")).await.unwrap(),
        "{}"
    );
    until("it is drained", || child.counters().stderr_lines > 300_000).await;
    assert!(child.is_healthy());
}

#[tokio::test]
async fn closed_standard_error_is_no_death() {
    let mut child = spawn("exec 2>&-; exec cat").await;
    assert_eq!(child.request(b"{}").await.unwrap(), "{}");
    assert!(child.is_healthy());
}

#[tokio::test]
async fn flood_on_standard_output_stops_at_the_death() {
    let child = Subprocess::spawn("yes").await.unwrap();
    until("it floods", || child.counters().unsolicited > 100_000).await;
    within("its end", child.close()).await;
}
