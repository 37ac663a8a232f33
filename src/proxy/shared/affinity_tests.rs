//! What leads a client back to the child that it came from, and for how long.

use std::time::Duration;

use tokio::time::Instant;

use super::affinity::Affinity;

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_used_is_kept_and_one_that_is_not_goes() {
    let affinity = Affinity::default();
    let answer = |task: &str| format!(r#"{{"result":{{"taskId":"{task}"}}}}"#);
    let asked = |task: &str| format!(r#"{{"taskId":"{task}"}}"#);
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let begun = Instant::now();
    affinity.note(answer("polled").as_bytes(), 1, begun);
    affinity.note(answer("forgotten").as_bytes(), 2, begun);
    for count in [10, 20, 30, 40] {
        let now = begun + minutes(count);
        assert_eq!(affinity.child_of(Some(&asked("polled")), now), Some(1));
        affinity.note(answer(&format!("other-{count}")).as_bytes(), 3, now);
    }
    let now = begun + minutes(41);
    assert_eq!(affinity.child_of(Some(&asked("forgotten")), now), None);
    affinity.note(answer("last").as_bytes(), 3, begun + minutes(60));
    let now = begun + minutes(61);
    assert_eq!(affinity.child_of(Some(&asked("polled")), now), None);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_awaited_until_nobody_came_back_for_a_while() {
    let affinity = Affinity::default();
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let begun = Instant::now();
    assert!(!affinity.is_awaited(1, begun), "it gave nobody anything");
    affinity.note(br#"{"result":{"taskId":"a"}}"#, 1, begun);
    assert!(affinity.is_awaited(1, begun + minutes(4)));
    let asked = affinity.child_of(Some(r#"{"taskId":"a"}"#), begun + minutes(4));
    assert_eq!(asked, Some(1));
    assert!(affinity.is_awaited(1, begun + minutes(8)));
    assert!(!affinity.is_awaited(1, begun + minutes(9)));
    affinity.forget(1);
    assert!(!affinity.is_awaited(1, begun + minutes(4)));
}
