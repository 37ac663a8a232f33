//! The budget of retries, by the calls that fill it.

use super::*;

/// Retries that are allowed at once, after so many calls within sessions.
fn retries_after(calls: u32, is_one_server: bool) -> usize {
    let guard = Guard::new(BreakerOptions::default(), is_one_server);
    for _ in 0..calls {
        guard.admit_in_session(true).unwrap().end(Outcome::Success);
    }
    std::iter::repeat_with(|| guard.may_retry(false))
        .take_while(|may| *may)
        .count()
}

#[tokio::test(start_paused = true)]
async fn calls_within_sessions_with_one_server_bring_their_share_of_retries() {
    assert_eq!(retries_after(0, true), RETRIES.1 as usize);
    assert_eq!(retries_after(100, true), (RETRIES.0 + RETRIES.1) as usize);
}
