//! Child processes of a forked child: started and kept by threads of its own.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::engine::tests::forking::in_child;
use crate::transport::Subprocess;
use crate::{Plain, PoolOptions};

fn starts_one() -> bool {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = Duration::from_secs(10);
        let spawned = timeout(limit, Subprocess::spawn("cat")).await;
        spawned.is_ok_and(|spawned| spawned.is_ok())
    })
}

fn starts_one_on_both_sides() {
    assert!(starts_one());
    assert!(in_child(starts_one));
    assert!(starts_one());
}

#[test]
fn forked_child_starts_processes_as_its_parent_does() {
    // Without a pool, and with the first one, which has the forks of its process seen.
    starts_one_on_both_sides();
    let connect = || async { Err::<Plain<u8>, _>("none") };
    let _pool = PoolOptions::new().connect_with(connect).unwrap();
    starts_one_on_both_sides();
}
