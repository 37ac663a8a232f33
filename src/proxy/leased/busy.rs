//! Busy: the children that have a request, each for as long as its request holds its place.
//!
//! Promise: who drops a place takes its child off the list, and lets go of it outside the lock.
//! Cost: a short lock to enter and one to leave, which looks through the list.

use crate::sync::{Arc, Mutex, Weak};

type Children<C> = Mutex<Vec<Arc<C>>>;

pub struct Busy<C>(Arc<Children<C>>);

/// A child's place among the busy ones.
pub struct Place<C> {
    busy: Weak<Children<C>>,
    child: Arc<C>,
}

impl<C> Busy<C> {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub fn enter(&self, child: &Arc<C>) -> Place<C> {
        self.0.lock().push(child.clone());
        Place {
            busy: Arc::downgrade(&self.0),
            child: child.clone(),
        }
    }

    /// Those of this moment.
    pub fn children(&self) -> Vec<Arc<C>> {
        self.0.lock().clone()
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        let Some(busy) = self.busy.upgrade() else {
            return;
        };
        let mut children = busy.lock();
        let at = children
            .iter()
            .position(|child| Arc::ptr_eq(child, &self.child));
        let gone = at.map(|at| children.swap_remove(at));
        drop(children);
        // Its lease goes back outside the lock.
        drop(gone);
    }
}
