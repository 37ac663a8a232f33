//! How long a connection that was told to end is waited for.

use std::time::Duration;

use tokio::time::advance;

use super::Pulse;

const GRACE: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn what_the_system_does_not_take_has_the_time_of_an_idle_client() {
    let pulse = Pulse::new();
    drop(pulse.begin());
    pulse.wrote(false);
    advance(GRACE * 2).await;
    assert_eq!(pulse.ends_in(Duration::ZERO, GRACE, MOST), MOST - GRACE * 2);
    pulse.wrote(true);
    assert_eq!(pulse.ends_in(Duration::ZERO, GRACE, MOST), GRACE);
    advance(GRACE).await;
    assert!(pulse.ends_in(Duration::ZERO, GRACE, MOST).is_zero());
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_not_waited_for_after_the_last_word() {
    let pulse = Pulse::new();
    let begun = pulse.begin();
    advance(GRACE * 2).await;
    assert_eq!(
        pulse.ends_in(Duration::ZERO, GRACE, MOST),
        GRACE,
        "a request is"
    );
    pulse.shut();
    advance(GRACE).await;
    assert!(pulse.ends_in(Duration::ZERO, GRACE, MOST).is_zero());
    drop(begun);
}
