//! What a session says by itself, to a client that is slower than it.

use std::time::Duration;

use super::*;
use crate::proxy::http::Version;
use crate::proxy::session::SessionTable;

fn numbered(number: u32) -> Bytes {
    number.to_string().into()
}

#[tokio::test(start_paused = true)]
async fn what_a_session_says_faster_than_it_is_read_all_comes_in_order() {
    let table = SessionTable::new(1);
    let session = table.begin(Version::LATEST, None).unwrap();
    let (out, mut lines) = mpsc::channel(1);
    let outbox = session.outbox().clone();
    let first = outbox.open_followed();
    tokio::spawn(follow(outbox.clone(), first, out));
    // More than a stream has room for: it ends, and the last ones wait for the next. Twice, for that one ends as well.
    for round in 0..2 {
        let numbers = round * 1200..(round + 1) * 1200;
        for number in numbers.clone() {
            match number % 2 {
                0 => outbox.send(numbered(number)),
                _ => table.tell_of_list(&numbered(number), ""),
            }
        }
        assert!(outbox.has_stream(), "somebody comes for what waits");
        for number in numbers {
            let next = tokio::time::timeout(Duration::from_secs(1), lines.recv()).await;
            assert_eq!(next, Ok(Some(numbered(number))));
        }
    }
    outbox.close();
    assert_eq!(lines.recv().await, None);
}
