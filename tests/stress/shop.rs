//! The shop: makes tools, badly at times, and counts them from their making to their end.
//!
//! Promise: two holders of one tool are noticed, and so is one tool more than there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;

use plunge::{BoxError, ConnectContext, Manager, Transient, Verdict};

use crate::dice::Dice;

/// What is pooled.
pub struct Tool {
    shop: Arc<Shop>,
    held: AtomicBool,
    detached: AtomicBool,
    healthy: AtomicBool,
    /// Something on the heap, for tools that are read after their end.
    mark: Box<u64>,
}

impl Tool {
    /// From now on it is in one pair of hands.
    pub fn grasp(&self) {
        assert!(!self.held.swap(true, SeqCst), "two hold one tool");
        assert_eq!(*self.mark, MARK);
    }

    pub fn let_go(&self) {
        assert!(self.held.swap(false, SeqCst), "let go once");
    }

    pub fn fall_ill(&self) {
        self.healthy.store(false, SeqCst);
    }

    /// It is not the pool's any more.
    pub fn leave(&self) {
        self.detached.store(true, SeqCst);
        self.shop.pooled.fetch_sub(1, SeqCst);
    }
}

const MARK: u64 = 0x70_6F_6F_6C;

impl Drop for Tool {
    fn drop(&mut self) {
        if !self.detached.load(SeqCst) {
            self.shop.pooled.fetch_sub(1, SeqCst);
        }
        self.shop.live.fetch_sub(1, SeqCst);
    }
}

pub struct Shop {
    dice: Mutex<Dice>,
    ceiling: u32,
    /// In how many of a thousand cases code that cannot fail panics.
    trouble: u64,
    /// Tools that are not dropped.
    live: AtomicU32,
    /// Those of them that are the pool's.
    pooled: AtomicU32,
    pub made: AtomicU64,
    pub calm: AtomicBool,
    /// Looks at a tool that were begun and not ended.
    pub cut_short: AtomicU64,
}

/// A look at a tool: counted where it is cut short.
struct Look<'a>(Option<&'a Shop>);

impl Look<'_> {
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        if let Some(shop) = self.0
            && !std::thread::panicking()
        {
            shop.cut_short.fetch_add(1, SeqCst);
        }
    }
}

impl Shop {
    pub fn new(dice: Dice, ceiling: u32, trouble: u64) -> Arc<Self> {
        Arc::new(Self {
            dice: Mutex::new(dice),
            ceiling,
            trouble,
            live: AtomicU32::new(0),
            pooled: AtomicU32::new(0),
            made: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            cut_short: AtomicU64::new(0),
        })
    }

    pub fn live(&self) -> u32 {
        self.live.load(SeqCst)
    }

    fn luck(&self) -> u64 {
        match self.calm.load(SeqCst) {
            true => 50,
            false => self.dice.lock().below(100),
        }
    }

    /// A panic that prints nothing, now and then.
    fn stumble(&self) {
        if self.trouble > 0
            && !self.calm.load(SeqCst)
            && self.dice.lock().below(1_000) < self.trouble
        {
            std::panic::resume_unwind(Box::new("the shop stumbles"));
        }
    }

    /// Looks at a tool, for which it may have to come back.
    async fn look(&self) -> u64 {
        let look = Look(Some(self));
        let luck = self.luck();
        if luck >= 50 {
            tokio::task::yield_now().await;
        }
        // Threads that are no part of a runtime look, too.
        if luck >= 90 && tokio::runtime::Handle::try_current().is_ok() {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        look.end();
        self.stumble();
        luck
    }

    /// What a hook says that has something to wait for.
    pub async fn verdict(&self) -> Result<Verdict, BoxError> {
        match self.look().await {
            51 => Err("not this one".into()),
            52 => Ok(Verdict::Discard),
            _ => Ok(Verdict::Keep),
        }
    }

    /// What a hook says at once.
    pub fn verdict_at_once(&self) -> Verdict {
        self.stumble();
        match self.luck() {
            51 => Verdict::Discard,
            _ => Verdict::Keep,
        }
    }

    async fn make(self: &Arc<Self>) -> Result<Tool, BoxError> {
        match self.luck() {
            0..2 => return Err("out of material".into()),
            2..4 => return Err(Transient::new("out of material for now").into()),
            4 => std::panic::resume_unwind(Box::new("the shop is on fire")),
            5..25 => tokio::task::yield_now().await,
            25 => tokio::time::sleep(Duration::from_micros(300)).await,
            _ => {}
        }
        let pooled = self.pooled.fetch_add(1, SeqCst) + 1;
        self.live.fetch_add(1, SeqCst);
        self.made.fetch_add(1, SeqCst);
        let tool = Tool {
            shop: Arc::clone(self),
            held: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            healthy: AtomicBool::new(true),
            mark: Box::new(MARK),
        };
        assert!(pooled <= self.ceiling, "{pooled} open of {}", self.ceiling);
        Ok(tool)
    }
}

/// Opens what the shop makes; `CLOSES`: closing is something to wait for.
pub struct Counter<const CLOSES: bool>(pub Arc<Shop>);

impl<const CLOSES: bool> Manager for Counter<CLOSES> {
    type Connection = Tool;
    type Error = BoxError;

    const HAS_ASYNC_CLOSE: bool = CLOSES;

    async fn connect(&self, _: &ConnectContext) -> Result<Tool, BoxError> {
        self.0.make().await
    }

    async fn check(&self, tool: &mut Tool) -> Result<(), BoxError> {
        self.0.look().await;
        match tool.healthy.load(SeqCst) {
            true => Ok(()),
            false => Err("worn out".into()),
        }
    }

    fn is_healthy(&self, tool: &Tool) -> bool {
        self.0.stumble();
        tool.healthy.load(SeqCst)
    }

    async fn close(&self, tool: Tool) {
        if self.0.luck() < 30 {
            tokio::task::yield_now().await;
        }
        self.0.stumble();
        drop(tool);
    }
}
