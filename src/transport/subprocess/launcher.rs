//! The launcher: a step between the fork and the program, that ties a child to its parent.
//!
//! Promise: a child that went through [`exec_tied_to_parent`] is killed by the kernel when the
//! program that started it dies, of whatever; its own children are not, unless they ask for it.
//! Cost: one more `exec` a child. The signal is asked for by the child itself, which is why a
//! program of its own, or a hidden command of the program that starts it, has to do it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::command::Command;

/// Where programs are looked for if nothing says so.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Becomes the program that the arguments name, tied to the life of the process that started this one.
///
/// The arguments are those that [`Command::launched_by`] adds. Call it first thing in `main`, before
/// any thread is started; it returns only if it failed.
///
/// # Errors
///
/// What the system said, or that the parent is gone already.
///
/// ```no_run
/// let mut args = std::env::args_os().skip(1);
/// if args.next().is_some_and(|first| first == "launch") {
///     let error = plunge::transport::exec_tied_to_parent(args);
///     eprintln!("cannot start the child: {error}");
///     std::process::exit(127);
/// }
/// ```
pub fn exec_tied_to_parent(args: impl IntoIterator<Item = OsString>) -> io::Error {
    let mut args = args.into_iter();
    let parent = args.next().and_then(|parent| parent.to_str()?.parse().ok());
    let (Some(parent), Some(program)) = (parent, args.next()) else {
        return io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected the parent's id and a program",
        );
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have died before the signal was asked for: then nothing would come.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return io::Error::other("the parent is gone");
    }
    process::Command::new(program).args(args).exec()
}

/// The launcher's own arguments: who the parent is and what to become.
///
/// A program that is not there is an error here: the launcher could tell nobody.
pub(super) fn arguments(command: &Command) -> io::Result<[OsString; 2]> {
    let program = find(command)?;
    Ok([process::id().to_string().into(), program.into()])
}

fn find(command: &Command) -> io::Result<PathBuf> {
    let name = Path::new(&command.program);
    if name.components().count() > 1 {
        let directory = command.current_dir.clone().unwrap_or_default();
        return runnable(&directory.join(name)).map(|()| name.to_owned());
    }
    let mut refusal = io::Error::from(io::ErrorKind::NotFound);
    for directory in std::env::split_paths(&search_path(command)) {
        let candidate = directory.join(name);
        match runnable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refusal = error,
            Err(_) => {}
        }
    }
    Err(refusal)
}

/// `PATH` as the child will have it.
fn search_path(command: &Command) -> OsString {
    let set = command.env.iter().rev().find(|(key, _)| key == "PATH");
    let inherited = || {
        (!command.clear_env)
            .then(|| std::env::var_os("PATH"))
            .flatten()
    };
    let path = set.map_or_else(inherited, |(_, value)| value.clone());
    path.unwrap_or_else(|| OsStr::new(DEFAULT_PATH).to_owned())
}

fn runnable(path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.is_file() && found.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    Err(io::ErrorKind::PermissionDenied.into())
}
