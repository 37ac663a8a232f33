//! Which cores workers get, and that they stay there.

use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity};

use super::{keep_to, one_each};

fn cores_here() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("the system says where this may run");
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect()
}

#[test]
fn as_many_workers_as_cores_have_one_each_and_others_none() {
    let cores = cores_here();
    let expected = (cores.len() > 1).then(|| cores.clone());
    assert_eq!(one_each(cores.len()), expected);
    assert_eq!(one_each(cores.len() + 1), None);
    assert_eq!(one_each(cores.len() - 1), None);
}

#[test]
fn a_worker_keeps_to_its_core_and_no_other_thread_does() {
    let before = cores_here();
    let last = *before.last().expect("there is a core");
    let seen = thread::spawn(move || {
        keep_to(last);
        cores_here()
    });
    assert_eq!(seen.join().expect("it ends"), [last]);
    assert_eq!(cores_here(), before);
}

#[test]
fn a_core_that_is_not_there_leaves_the_worker_where_it_was() {
    let seen = thread::spawn(|| {
        keep_to(CpuSet::MAX_CPU - 1);
        cores_here()
    });
    assert_eq!(seen.join().expect("it ends"), cores_here());
}
