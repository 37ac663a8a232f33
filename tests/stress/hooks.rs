//! The hooks of a pool under load: they wait, say no and panic, as their shop likes it.

use std::sync::Arc;

use plunge::PoolHooks;

use crate::shop::{Shop, Tool};

#[derive(Clone, Copy, Debug)]
pub enum Hooks {
    None,
    Sync,
    Async,
}

impl Hooks {
    pub fn of(self, shop: &Arc<Shop>) -> PoolHooks<Tool> {
        let [first, second, third] = std::array::from_fn(|_| Arc::clone(shop));
        match self {
            Self::None => PoolHooks::new(),
            Self::Sync => PoolHooks::new()
                .after_create_sync(move |_, _| first.verdict_at_once())
                .before_acquire_sync(move |_, _| second.verdict_at_once())
                .after_release_sync(move |_, _| third.verdict_at_once()),
            Self::Async => PoolHooks::new()
                .after_create(move |_, _| {
                    let shop = Arc::clone(&first);
                    Box::pin(async move { shop.verdict().await })
                })
                .before_acquire(move |_, _| {
                    let shop = Arc::clone(&second);
                    Box::pin(async move { shop.verdict().await })
                })
                .after_release(move |_, _| {
                    let shop = Arc::clone(&third);
                    Box::pin(async move { shop.verdict().await })
                }),
        }
    }
}
