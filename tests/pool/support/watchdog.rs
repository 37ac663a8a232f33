//! A watchdog: a story that hangs fails, and says where it was.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Longer than any scene takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a story on a thread of its own. It names each scene as that begins; one that does not end
/// in real time is reported by name.
pub fn watched(story: impl FnOnce(&dyn Fn(String)) + Send + 'static) {
    let (beats, heard) = channel();
    let teller = std::thread::spawn(move || {
        let beats: Sender<String> = beats;
        story(&move |scene| beats.send(scene).unwrap());
    });
    let mut scene = "the beginning".to_owned();
    loop {
        match heard.recv_timeout(PATIENCE) {
            Ok(next) => scene = next,
            Err(RecvTimeoutError::Timeout) => panic!("hangs in {scene}"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    assert!(teller.join().is_ok(), "failed in {scene}");
}
