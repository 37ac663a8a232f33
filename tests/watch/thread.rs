//! The thread: there while something is watched, one for all.

use std::time::Duration;

use plunge::PoolOptions;
use plunge::watch::stats;

use crate::server::{Server, alone, fill, until, watched};

#[tokio::test]
async fn one_thread_watches_all_pools_and_ends_when_nothing_is_watched() {
    let _alone = alone();
    until("none of another test", || stats().threads == 0).await;
    let server = Server::start().await;
    let options = || PoolOptions::new().max_connections(20);
    let pools = [server.pool(options()), server.pool(options())];
    for pool in &pools {
        fill(pool, 20).await;
    }
    assert_eq!(watched(40).await.threads, 1);
    assert_eq!(threads_called("plunge-watch"), Some(1));
    for pool in pools {
        pool.close(Duration::from_secs(10)).await;
    }
    until("it ends", || stats().threads == 0).await;
    until("and is gone", || threads_called("plunge-watch") == Some(0)).await;
    let pool = server.pool(options());
    fill(&pool, 1).await;
    assert_eq!(watched(1).await.threads, 1, "a new one");
}

/// How many threads of this process have this name.
fn threads_called(name: &str) -> Option<usize> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let is_it = |task: std::io::Result<std::fs::DirEntry>| {
        let path = task.ok()?.path().join("comm");
        Some(std::fs::read_to_string(path).ok()?.trim() == name)
    };
    Some(tasks.filter_map(is_it).filter(|it| *it).count())
}
