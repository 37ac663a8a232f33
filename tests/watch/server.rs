//! A server on loopback that keeps its side of every connection, and can be told to end them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use plunge::watch::{IdleWatch, WatchStats, stats};
use plunge::{Pool, PoolOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The watch counts for the whole process: its tests run one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// Polls a condition; panics if it does not come true in half a minute.
pub async fn until(claim: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {claim}; {:?}", stats());
}

/// The watch, once so many are watched.
pub async fn watched(count: u64) -> WatchStats {
    until("so many are watched", || stats().watched == count).await;
    stats()
}

#[derive(Clone)]
pub struct Server {
    pub address: std::net::SocketAddr,
    theirs: Arc<Mutex<Vec<TcpStream>>>,
    accepting: AbortHandle,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let theirs = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&theirs);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                kept.lock().unwrap().push(stream);
            }
        });
        Self {
            address,
            theirs,
            accepting: accepting.abort_handle(),
        }
    }

    pub fn accepted(&self) -> usize {
        self.theirs.lock().unwrap().len()
    }

    /// Its side of all connections so far, which it gives up.
    pub fn take(&self) -> Vec<TcpStream> {
        std::mem::take(&mut self.theirs.lock().unwrap())
    }

    /// Keeps a side that was taken.
    pub fn keep(&self, stream: TcpStream) {
        self.theirs.lock().unwrap().push(stream);
    }

    /// A pool of connections to it that are watched almost at once.
    pub fn pool(&self, options: PoolOptions<TcpStream>) -> Pool<TcpStream> {
        let address = self.address;
        let watch = IdleWatch::new().cold_after(Duration::from_millis(1));
        options
            .watch(watch)
            .connect_with(move || TcpStream::connect(address))
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Arc::strong_count(&self.theirs) <= 2 {
            self.accepting.abort();
        }
    }
}

/// Opens so many at the same time, and has all of them idle.
pub async fn fill<T: Send + 'static>(pool: &Pool<T>, count: usize) {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(pool.acquire().await.unwrap());
    }
}

/// Asks the peer, which answers.
pub async fn ask(ours: &mut TcpStream, theirs: &mut TcpStream) {
    let mut buffer = [0; 64];
    ours.write_all(b"ask").await.unwrap();
    theirs.read_exact(&mut buffer[..3]).await.unwrap();
    theirs.write_all(b"answer").await.unwrap();
    assert_eq!(ours.read(&mut buffer).await.unwrap(), 6);
}
