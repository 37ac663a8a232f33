//! Sizes and auto traits that users come to rely on, pinned to what they are.
//!
//! A size that changes here is a change of what every caller's future holds: make it on purpose.

use std::cell::Cell;
use std::mem::{size_of, size_of_val};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use plunge::{
    AcquireError, Plain, Pool, PoolConnection, PoolHooks, PoolOptions, PoolStats, TryAcquireError,
    WeakPool,
};

const POINTER: usize = size_of::<usize>();

/// Of what is pooled nothing is asked but `Send`.
type Unshared = Plain<Cell<u64>>;

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}
fn is_unpin<T: Unpin>() {}
fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
fn is_static<T: 'static>() {}
fn value_is_send<T: Send>(value: T) -> T {
    value
}

/// Ambiguous, and so not compiled, where the type is `Sync`.
trait UnlessSync<Marker> {
    fn holds() {}
}
impl<T: ?Sized> UnlessSync<()> for T {}
impl<T: ?Sized + Sync> UnlessSync<u8> for T {}

#[test]
fn handles_cross_threads_whatever_is_pooled() {
    is_send::<Pool<Unshared>>();
    is_sync::<Pool<Unshared>>();
    is_send::<WeakPool<Unshared>>();
    is_sync::<WeakPool<Unshared>>();
    is_send::<PoolOptions<Unshared>>();
    is_send::<PoolHooks<Unshared>>();
    is_sync::<PoolHooks<Unshared>>();
    is_unpin::<Pool<Unshared>>();
    is_static::<Pool<Unshared>>();
}

#[test]
fn a_connection_is_as_shareable_as_what_it_holds() {
    is_send::<PoolConnection<Unshared>>();
    is_send::<PoolConnection<Plain<u64>>>();
    is_sync::<PoolConnection<Plain<u64>>>();
    is_unpin::<PoolConnection<Unshared>>();
    <PoolConnection<Unshared> as UnlessSync<_>>::holds();
}

#[test]
fn errors_go_anywhere() {
    is_send::<AcquireError>();
    is_sync::<AcquireError>();
    is_static::<AcquireError>();
    is_unwind_safe::<TryAcquireError>();
    is_unwind_safe::<PoolStats>();
}

#[test]
fn what_is_passed_around_is_one_pointer() {
    assert_eq!(size_of::<PoolConnection<Plain<[u64; 99]>>>(), POINTER);
    assert_eq!(size_of::<Option<PoolConnection<Plain<u64>>>>(), POINTER);
    assert_eq!(size_of::<AcquireError>(), POINTER);
    assert_eq!(size_of::<Pool<Plain<u64>>>(), POINTER);
    assert_eq!(size_of::<WeakPool<Plain<u64>>>(), POINTER);
    assert_eq!(size_of::<TryAcquireError>(), 1);
    // A pointer, and a tag beside it: both are needed.
    assert_eq!(
        size_of::<Result<PoolConnection<Plain<u64>>, AcquireError>>(),
        2 * POINTER
    );
}

#[test]
fn the_futures_are_send_and_of_a_known_size() {
    let options = PoolOptions::<Unshared>::new();
    let factory = || async { Ok::<_, std::convert::Infallible>(Plain(Cell::new(0))) };
    let pool = options.connect_with(factory).unwrap();
    let acquire = value_is_send(pool.acquire());
    let timed = value_is_send(pool.acquire_timeout(Duration::from_secs(1)));
    drop(value_is_send(pool.close(Duration::ZERO)));
    drop(value_is_send(pool.close_event()));
    if cfg!(target_pointer_width = "64") {
        // Seven eighths of a kibibyte: the place in line is a cache line of its own, and all around it is
        // rounded up to lines. Within that, a span and the time at which it began cost nothing more.
        assert_eq!([size_of_val(&acquire), size_of_val(&timed)], [896, 896]);
    }
}
