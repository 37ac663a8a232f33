//! Log lines are bounded in number and in content.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::subprocess::log::{LogBudget, printable};

#[test]
fn budget_refuses_the_rest_of_a_second_and_tells_how_much_it_was() {
    let start = Instant::now();
    let mut budget = LogBudget::new(2);
    assert_eq!(budget.admit(start), Some(0));
    assert_eq!(budget.admit(start), Some(0));
    assert_eq!(budget.admit(start), None);
    assert_eq!(budget.admit(start + Duration::from_millis(999)), None);
    assert_eq!(budget.admit(start + Duration::from_secs(1)), Some(2));
    assert_eq!(budget.admit(start + Duration::from_secs(1)), Some(0));
}

#[test]
fn printable_is_bounded_and_free_of_control_characters() {
    assert_eq!(printable(b"plain\ttext"), "plain\ttext");
    assert_eq!(printable(b"\x1b[31mred\r\n"), "\\u{1b}[31mred\\r\\n");
    assert_eq!(printable(&[0xff, b'a']), "\u{fffd}a");
    assert!(printable(&[b'x'; 100_000]).len() <= 1024);
}
