//! Both ends of a proxy under test: scripted upstreams and a client that sends bytes as they are.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use plunge::proxy::plain::{AddressStats, Gateway, GatewayOptions, RouteOptions, UpstreamOptions};
use plunge::transport::http::HttpTarget;

/// What no test waits longer for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is spoken on by hand.
pub struct Talk {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Talk {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    pub fn to(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// Writes; whoever listens may be gone.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads up to and with `end`; `None` where the stream ends before.
    pub fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self
                .read
                .windows(end.len())
                .position(|bytes| bytes == end.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + end.len());
                let said = std::mem::replace(&mut self.read, rest);
                return Some(String::from_utf8(said).unwrap());
            }
            self.more()?;
        }
    }

    /// A head.
    pub fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n")
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            self.more()?;
        }
        let rest = self.read.split_off(count);
        Some(std::mem::replace(&mut self.read, rest))
    }

    /// All that comes until the end of the stream.
    pub fn rest(&mut self) -> String {
        while self.more().is_some() {}
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 1 << 16];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
            Err(_) => None,
        }
    }
}

/// A scripted upstream.
pub struct Origin {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Those whose script is done.
    pub ended: Arc<AtomicUsize>,
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    /// Runs `script` for each connection, with its number.
    pub fn scripted(script: impl Fn(&mut Talk, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, script) = (Arc::new(AtomicUsize::new(0)), Arc::new(script));
        let ended = Arc::<AtomicUsize>::default();
        let (count, ends) = (connections.clone(), ended.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (number, script) = (count.fetch_add(1, Ordering::SeqCst), script.clone());
                let ends = ends.clone();
                thread::spawn(move || {
                    script(&mut Talk::new(stream.unwrap()), number);
                    ends.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            connections,
            ended,
            heads: Arc::default(),
        }
    }

    /// Answers each request without a body with these bytes, and keeps what heads came.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let (answer, heads) = (answer.into(), Arc::new(Mutex::new(Vec::new())));
        let kept = heads.clone();
        let origin = Self::scripted(move |talk, _| {
            while let Some(head) = talk.head() {
                kept.lock().unwrap().push(head);
                talk.say(&answer);
            }
        });
        Self { heads, ..origin }
    }

    /// Says hello to everybody.
    pub fn hello() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
    }

    pub fn target(&self) -> HttpTarget {
        HttpTarget::parse(&format!("http://{}", self.address)).unwrap()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Connections whose script is done, and that are closed.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// The head that came last.
    pub fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().unwrap().to_lowercase()
    }
}

/// An upstream with these addresses.
pub fn upstream(origins: &[&Origin]) -> UpstreamOptions {
    UpstreamOptions::new(
        "origin",
        origins.iter().map(|origin| origin.target()).collect(),
    )
}

/// The options of a gateway of one worker, everything to one upstream.
pub fn options(upstream: UpstreamOptions) -> GatewayOptions {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut options = GatewayOptions::new(listen, vec![RouteOptions::new(upstream)]);
    options.workers = NonZeroUsize::MIN;
    options
}

pub fn gateway(origin: &Origin) -> Gateway {
    Gateway::start(options(upstream(&[origin]))).unwrap()
}

/// Sends one request on a fresh connection, and returns all that comes back until its end.
pub fn ask(gateway: &Gateway, request: impl AsRef<[u8]>) -> String {
    let mut talk = Talk::to(gateway.address());
    talk.say(request);
    talk.rest()
}

/// A request after which the connection ends.
pub fn get(gateway: &Gateway, path: &str) -> String {
    ask(
        gateway,
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
    )
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    let word = answer
        .split(' ')
        .nth(1)
        .unwrap_or_else(|| panic!("no answer: {answer:?}"));
    word.parse().unwrap()
}

/// Waits for something to become true.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come true");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The addresses of the first upstream.
pub fn addresses(gateway: &Gateway) -> Vec<AddressStats> {
    gateway.stats().upstreams.swap_remove(0).addresses
}

/// Whether nothing is held any more: no connection in use, nobody in line.
pub fn is_at_rest(gateway: &Gateway) -> bool {
    let addresses = addresses(gateway);
    addresses
        .iter()
        .all(|one| one.leased == 0 && one.in_flight == 0 && one.waiting == 0)
}
