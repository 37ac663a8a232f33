//! The queue of lines for a child, without the child.

use bytes::Bytes;

use crate::transport::subprocess::queue::LineQueue;

#[test]
fn line_of_any_length_costs_no_more_than_the_queue_holds() {
    let queue = LineQueue::new(100);
    assert_eq!(queue.cost_of(&Bytes::from(vec![0; 1_000_000])), 100);
    let empty = queue.cost_of(&Bytes::new());
    assert!(
        empty > 0 && empty < 100,
        "an empty line takes a place, too: {empty}"
    );
}

#[test]
fn closed_queue_says_so_and_wakes_its_reader() {
    let queue = LineQueue::new(100);
    assert!(!queue.is_closed());
    queue.close();
    assert!(queue.is_closed());
    futures::executor::block_on(queue.changed());
}
