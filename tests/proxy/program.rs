//! A program that can be taken away, replaced and brought back, in a folder of its own.

use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use plunge::transport::Command;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::fixture::{PATIENCE, marker, python};

/// The scripted child as a program; its folder goes with its drop.
pub struct Program {
    folder: PathBuf,
}

impl Program {
    pub fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(marker(test));
        fs::create_dir(&folder).unwrap();
        let program = Self { folder };
        symlink(python(), program.path()).unwrap();
        program
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("server")
    }

    pub fn command(&self, flags: &[&str]) -> Command {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
        Command::new(self.path()).arg(script).args(flags)
    }

    /// From now on none can be started.
    pub fn take_away(&self) {
        fs::rename(self.path(), self.folder.join("away")).unwrap();
    }

    pub fn bring_back(&self) {
        fs::rename(self.folder.join("away"), self.path()).unwrap();
    }

    /// From now on one is started instead that does nothing for half a second, and fails.
    pub fn replace_by_stillborn(&self) -> Starts {
        let (kept, told) = pipe::pipe().unwrap();
        let (of, end) = (std::process::id(), kept.as_raw_fd());
        let tells = format!("printf x >/proc/{of}/fd/{end}");
        self.replace(&format!("#!/bin/sh\n{tells}; sleep 0.5; exit 3\n"));
        Starts { told, _kept: kept }
    }

    /// From now on this shell script is started instead.
    pub fn replace(&self, script: &str) {
        let other = self.folder.join("other");
        fs::write(&other, script).unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o755)).unwrap();
        fs::rename(other, self.path()).unwrap();
    }
}

/// The starts of a program, each told by a byte.
pub struct Starts {
    told: pipe::Receiver,
    _kept: pipe::Sender,
}

impl Starts {
    /// Waits for so many.
    pub async fn wait_for(&mut self, count: usize) {
        let mut told = vec![0; count];
        let told = tokio::time::timeout(PATIENCE, self.told.read_exact(&mut told));
        told.await.expect("it is started so often").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
