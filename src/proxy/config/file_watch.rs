//! Noticing that a file was changed.
//!
//! Promise: a change that stays is noticed within a second, a replaced file and a changed link included; one that is
//! being written is read once it is still. A file that is gone for a moment is waited for.
//! Cost: one look at the file's metadata each half a second, on a thread for such calls.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

const LOOK: Duration = Duration::from_millis(500);

/// Tells when a file is another than before.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    seen: Option<Mark>,
}

/// What tells two contents of a file apart, short of reading it.
type Mark = (u64, u64, u64, i64, i64);

impl FileWatch {
    /// Watches from now on: to be called before the file is read, so that no change is missed in between.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let seen = mark(&path);
        Self { path, seen }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it for known as it is now; to be called before it is read for another reason.
    pub fn look(&mut self) {
        self.seen = mark(&self.path);
    }

    #[cfg(test)]
    pub(super) fn is_other(&self) -> bool {
        mark(&self.path) != self.seen
    }

    /// Ends when the file is there and another than it was.
    ///
    /// # Cancel safety
    ///
    /// Dropped, no change is lost.
    pub async fn changed(&mut self) {
        let mut last = self.seen;
        loop {
            sleep(LOOK).await;
            let path = self.path.clone();
            let looked = tokio::task::spawn_blocking(move || mark(&path)).await;
            let now = looked.ok().flatten();
            if now.is_some() && now != self.seen && now == last {
                self.seen = now;
                return;
            }
            last = now;
        }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let file = path.metadata().ok()?;
    let (place, size) = ((file.dev(), file.ino()), file.len());
    Some((place.0, place.1, size, file.mtime(), file.mtime_nsec()))
}
