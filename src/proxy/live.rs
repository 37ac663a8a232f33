//! The options of an upstream that is being served, some of which may change meanwhile.
//!
//! Promise: whoever reads them sees them as they were at one time.
//! Cost: a read is one load and two words of a thread's own; nothing waits.

use std::ops::Deref;

use super::options::ServeOptions;
use crate::sync::{Arc, ArcSwap};

/// Options; clones name the same ones.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<ServeOptions>>);

impl Live {
    /// These, for now.
    pub fn new(options: ServeOptions) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settled(options))))
    }

    /// As they are. To be let go before the next await: use [`whole`](Self::whole) there.
    pub fn get(&self) -> impl Deref<Target = Arc<ServeOptions>> + use<> {
        self.0.load()
    }

    /// As they are, for as long as needed.
    pub fn whole(&self) -> Arc<ServeOptions> {
        self.0.load_full()
    }

    /// Others from now on.
    pub fn set(&self, options: ServeOptions) {
        self.0.store(Arc::new(settled(options)));
    }
}

/// The limit on children is not looked up for every request.
fn settled(options: ServeOptions) -> ServeOptions {
    ServeOptions {
        max_connections: Some(options.children()),
        ..options
    }
}
