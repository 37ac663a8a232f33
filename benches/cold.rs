//! Ten thousand cold connections: how soon the watch notices that they end, what it keeps for each,
//! and whether anybody is handed a dead one after a restart of the server.
//!
//! The server is a child process, for the number of descriptors is limited per process. Times are
//! taken from the moment just before the server closes a connection, as it tells itself, to the first
//! look of this process that finds the event counted; the runtime stands still meanwhile, so that
//! nobody but the watch can notice.
//!
//! Promise: nothing is gated. Cost: some seconds and 20,100 descriptors.
//!
//! ```text
//! cargo bench --features watch --bench cold
//! cargo bench --features watch --bench cold -- hits HITS [unwatched]   for a counter of system calls
//! ```

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use plunge::watch::{IdleWatch, stats};
use plunge::{IdleBytes, Plain, Pool, PoolOptions};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

const COLD: usize = 10_000;
const SINGLES: usize = 200;
const RESTARTED: usize = 1_000;
const ACQUIRES: usize = 100_000;

fn main() {
    // Cargo adds an argument of its own.
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let arguments = arguments.collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    match arguments.as_slice() {
        ["serve", ..] => serve().expect("a server"),
        ["hits", count, rest @ ..] => hits(
            count.parse().expect("a number"),
            !rest.contains(&"unwatched"),
        ),
        _ => {
            notice();
            for watched in [true, false] {
                restart(watched);
            }
        }
    }
}

/// How soon ends are noticed, one by one and all at once, and what a watch weighs.
fn notice() {
    let mut server = Server::start();
    let address = server.address;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let pool: Pool<TcpStream> = PoolOptions::new()
        .max_connections(COLD as u32)
        .max_connecting(64)
        .min_idle(COLD as u32)
        .acquire_timeout(Duration::from_secs(60))
        .watch(IdleWatch::new().cold_after(Duration::from_secs(2)))
        .connect_with(move || TcpStream::connect(address))
        .expect("valid options");
    runtime.block_on(pool.wait_ready()).expect("filled");
    pool.tune(|tuning| tuning.min_idle = 0).expect("valid");
    let (before, kernel) = (resident(), kernel_bytes());
    drive(&runtime, || stats().watched == COLD as u64);
    println!(
        "{COLD} cold connections, {} thread: {} resident bytes and {} of the kernel more for each than unwatched",
        stats().threads,
        (resident() - before) * 1024 / COLD as i64,
        (kernel_bytes() - kernel) / COLD as i64,
    );
    let mut single = Histogram::<u64>::new(3).expect("bounds");
    for _ in 0..SINGLES {
        let (ended, noticed) = server.end(1);
        single.saturating_record((noticed[0] - ended[0]) / 1_000);
        sleep(Duration::from_millis(2));
    }
    tell("one FIN", &single);
    let mut all = Histogram::<u64>::new(3).expect("bounds");
    let (ended, noticed) = server.end(COLD - SINGLES);
    for (ended, noticed) in ended.iter().zip(&noticed) {
        all.saturating_record(noticed.saturating_sub(*ended) / 1_000);
    }
    tell("all at once", &all);
    let took = noticed[noticed.len() - 1] - ended[0];
    println!(
        "  from the first FIN to the last notice {} ms, the server's closing {} ms",
        took / 1_000_000,
        (ended[ended.len() - 1] - ended[0]) / 1_000_000
    );
    let begun = Instant::now();
    drive(&runtime, || pool.stats().open == 0);
    println!(
        "  all retired {} ms after the runtime goes on; {} seen dying",
        begun.elapsed().as_millis(),
        pool.stats().seen_dying
    );
}

fn tell(name: &str, micros: &Histogram<u64>) {
    println!(
        "{name}: noticed after p50 {} µs, p99 {} µs, max {} µs, of {}",
        micros.value_at_quantile(0.5),
        micros.value_at_quantile(0.99),
        micros.max(),
        micros.len()
    );
}

/// The server ends all connections at once and goes on listening. The type has no health test, so
/// that nothing but the watch keeps the dead ones from being handed out.
fn restart(watched: bool) {
    let mut server = Server::start();
    let address = server.address;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let mut options = PoolOptions::new()
            .max_connections(RESTARTED as u32)
            .max_connecting(16)
            .min_idle(RESTARTED as u32)
            .acquire_timeout(Duration::from_secs(30))
            .check_after_idle(Duration::MAX);
        if watched {
            let watch = IdleWatch::by(IdleBytes::Deadly, |plain: &Plain<TcpStream>| {
                Some(std::os::fd::AsFd::as_fd(&plain.0))
            });
            options = options.watch(watch.cold_after(Duration::from_millis(100)));
        }
        let pool: Pool<Plain<TcpStream>> = options
            .connect_with(move || async move {
                Ok::<_, io::Error>(Plain(TcpStream::connect(address).await?))
            })
            .expect("valid options");
        pool.wait_ready().await.expect("filled");
        while watched && stats().watched < RESTARTED as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.ask(RESTARTED);
        let ended = server.answers(RESTARTED);
        let last = ended[ended.len() - 1];
        while now() < last + 5_000_000 {
            tokio::task::yield_now().await;
        }
        let tasks = (0..32).map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut dead = 0;
                for _ in 0..ACQUIRES / 32 {
                    let held = pool.acquire().await.expect("a connection");
                    dead += usize::from(is_dead(&held.0));
                    tokio::task::yield_now().await;
                }
                dead
            })
        });
        let mut dead = 0;
        for task in tasks.collect::<Vec<_>>() {
            dead += task.await.expect("no panic");
        }
        println!(
            "restart under {RESTARTED} idle connections, {}: {dead} dead leases of {ACQUIRES} made 5 ms after the last FIN",
            if watched { "watched" } else { "not watched" },
        );
        pool.close(Duration::from_secs(10)).await;
    });
}

fn is_dead(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
    let peeked = rustix::net::recv(stream, &mut byte[..], flags);
    !matches!(peeked, Err(error) if io::Error::from(error).kind() == io::ErrorKind::WouldBlock)
}

/// So many hits on ten connections, which are cold and watched before the first.
fn hits(count: u64, watched: bool) {
    let server = Server::start();
    let address = server.address;
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut options = PoolOptions::new().max_connections(10).min_idle(10);
        if watched {
            options = options.watch(IdleWatch::new().cold_after(Duration::from_millis(1)));
        }
        let pool = options
            .check_after_idle(Duration::MAX)
            .connect_with(move || TcpStream::connect(address))
            .expect("valid options");
        pool.wait_ready().await.expect("filled");
        while watched && stats().watched < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Two marks for whoever counts.
        eprintln!("begin");
        for _ in 0..count {
            // Not the future, which gives the turn to the runtime now and then.
            drop(pool.try_acquire().expect("idle"));
        }
        eprintln!("end");
    });
}

/// Runs the runtime until a condition comes true.
fn drive(runtime: &Runtime, mut condition: impl FnMut() -> bool) {
    runtime.block_on(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// A server in a child process.
struct Server {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child process");
        let orders = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = answers.next().expect("an address").expect("text");
        Self {
            child,
            orders,
            answers,
            address: address.parse().expect("an address"),
        }
    }

    fn ask(&mut self, count: usize) {
        writeln!(self.orders, "{count}").expect("the server reads");
    }

    /// When each was ended, as the server tells.
    fn answers(&mut self, count: usize) -> Vec<u64> {
        let line = |_| self.answers.next().expect("an answer").expect("text");
        let lines = (0..count).map(line);
        lines.map(|line| line.parse().expect("a time")).collect()
    }

    /// Has so many connections ended; tells when each was, and when the watch had heard so many.
    fn end(&mut self, count: usize) -> (Vec<u64>, Vec<u64>) {
        let before = stats().events;
        let mut noticed = Vec::with_capacity(count);
        self.ask(count);
        while noticed.len() < count {
            let heard = stats().events - before;
            let now = now();
            while noticed.len() < heard as usize {
                noticed.push(now);
            }
            sleep(Duration::from_micros(5));
        }
        (self.answers(count), noticed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Accepts everything, and ends as many connections as a line says.
fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = send.send(stream);
        }
    });
    for line in io::stdin().lock().lines() {
        let count = line?.parse().unwrap_or(0);
        let streams = receive.iter().take(count).collect::<Vec<_>>();
        let mut times = Vec::with_capacity(count);
        for stream in streams {
            times.push(now());
            drop(stream);
        }
        let mut out = io::stdout().lock();
        for time in times {
            writeln!(out, "{time}")?;
        }
        out.flush()?;
    }
    Ok(())
}

/// Nanoseconds of the clock that both processes have.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_nanos() as u64
}

/// Resident memory of this process in kB.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the kernel keeps for registrations, where it tells.
fn kernel_bytes() -> i64 {
    let slabs = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let of = |name: &str| {
        let line = slabs.lines().find(|line| line.starts_with(name))?;
        let mut numbers = line.split_whitespace().skip(1);
        let active = numbers.next()?.parse::<i64>().ok()?;
        let size = numbers.nth(1)?.parse::<i64>().ok()?;
        Some(active * size)
    };
    ["eventpoll_epi", "eventpoll_pwq"]
        .into_iter()
        .filter_map(of)
        .sum()
}
