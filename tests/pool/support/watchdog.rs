//! A watchdog: a story that hangs fails, and says where it was.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Looks that are longer together than any scene takes on the slowest machine. Time in which the whole
/// process stood still is one look, however long it was.
const LOOKS: u32 = 60;
const LOOK: Duration = Duration::from_secs(1);

/// Runs a story on a thread of its own. It names each scene as that begins; one that does not end
/// in real time is reported by name.
pub fn watched(story: impl FnOnce(&dyn Fn(String)) + Send + 'static) {
    let (beats, heard) = channel();
    let teller = std::thread::spawn(move || {
        let beats: Sender<String> = beats;
        story(&move |scene| beats.send(scene).unwrap());
    });
    let mut scene = "the beginning".to_owned();
    let mut looks = 0;
    loop {
        match heard.recv_timeout(LOOK) {
            Ok(next) => (scene, looks) = (next, 0),
            Err(RecvTimeoutError::Timeout) if looks < LOOKS => looks += 1,
            Err(RecvTimeoutError::Timeout) => panic!("hangs in {scene}"),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    assert!(teller.join().is_ok(), "failed in {scene}");
}
