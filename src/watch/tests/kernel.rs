//! A stand-in for what the kernel knows of descriptors.

use std::collections::HashMap;

use crate::watch::roster::{Ears, Mark};

/// Under which mark it reports each descriptor. Closing one makes it forget.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    pub(super) heard: HashMap<i32, Mark>,
    /// System calls made.
    pub(super) calls: u32,
    pub(super) refuses: bool,
}

impl Ears for Kernel {
    fn listen(&mut self, fd: i32, mark: Mark) -> bool {
        self.calls += 1;
        if !self.refuses {
            self.heard.insert(fd, mark);
        }
        !self.refuses
    }

    fn forget(&mut self, fd: i32) {
        self.calls += 1;
        self.heard.remove(&fd);
    }
}
