//! Whether a program could be started, without starting it.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Says what is wrong with a program that cannot be run: one without a slash is looked for in `PATH`.
pub fn missing(program: &OsStr, directory: Option<&Path>) -> Option<String> {
    let shown = program.to_string_lossy();
    if shown.contains('/') {
        let path = directory.map_or_else(|| PathBuf::from(program), |from| from.join(program));
        return match (path.exists(), runs(&path)) {
            (_, true) => None,
            (true, _) => Some(format!(
                "`{shown}` cannot be executed: make it executable, or name its interpreter first"
            )),
            _ => Some(format!("there is no program `{shown}`: correct its path")),
        };
    }
    let found = std::env::var_os("PATH")
        .is_some_and(|paths| std::env::split_paths(&paths).any(|path| runs(&path.join(program))));
    (!found)
        .then(|| format!("program `{shown}` is not in PATH: install it, or write its whole path"))
}

fn runs(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
