//! How many lines overtake at once.

use super::*;

#[tokio::test]
async fn so_many_are_on_their_way_and_no_more() {
    let mut overtaking = Overtaking::default();
    assert!(overtaking.is_empty());
    for _ in 1..MAX_LINES {
        overtaking.add(1, std::future::pending());
    }
    assert!(overtaking.has_room());
    overtaking.add(1, async {});
    assert!(!overtaking.has_room());
    overtaking.one_taken().await;
    assert!(overtaking.has_room() && !overtaking.is_empty());
}

#[tokio::test]
async fn a_long_one_is_alone() {
    let mut overtaking = Overtaking::default();
    overtaking.add(MAX_BYTES, async {});
    assert!(!overtaking.has_room());
    overtaking.one_taken().await;
    assert!(overtaking.has_room() && overtaking.is_empty());
}
