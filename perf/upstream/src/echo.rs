//! Echo: an HTTP server on one mio loop that answers as an MCP server would.
//!
//! Promise: nothing between it and the system: what a client measures with it is the client and the
//! loopback. HTTP/1.1 with kept connections and bodies of a stated length; anything else ends its
//! connection. Only a POST is answered; 405 to the rest says that there is no stream and no session. Told
//! to, it ends each connection after one answer, holds answers back, or dies.
//! Cost: one thread; two buffers a connection.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::answer::answer;

const LISTENER: Token = Token(usize::MAX);
/// The longest head and body together.
const LONGEST: usize = 1 << 20;

/// Where it listens, and how it behaves; fast and immortal if nothing is said.
#[derive(Args)]
pub struct Script {
    /// Where clients connect; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// End each connection after one answer.
    #[arg(long)]
    close: bool,
    /// Hold every answer back for so long.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay_ms: u64,
    /// Die after every so many answers, with all connections and what is under way on them; another is
    /// there at once.
    #[arg(long, value_name = "N")]
    die_after: Option<u64>,
}

/// The server.
struct Echo<'a> {
    script: &'a Script,
    poll: Poll,
    listener: TcpListener,
    clients: HashMap<Token, Client>,
    next: usize,
    answers: u64,
    /// What is held back, first what goes out first.
    held_back: VecDeque<(Instant, Token, Vec<u8>)>,
}

/// One client.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    written: Vec<u8>,
    /// Ends once everything is written.
    ends: bool,
}

/// Serves until the process is ended.
pub fn serve(script: &Script) -> io::Result<ExitCode> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(script.listen)?;
    println!("listening on {}", listener.local_addr()?);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let echo = Echo {
        script,
        poll,
        listener,
        clients: HashMap::new(),
        next: 0,
        answers: 0,
        held_back: VecDeque::new(),
    };
    echo.run()
}

impl Echo<'_> {
    fn run(mut self) -> io::Result<ExitCode> {
        let mut events = Events::with_capacity(1024);
        loop {
            let due = self.held_back.front().map(|(due, ..)| *due);
            let rest = due.map(|due| due.saturating_duration_since(Instant::now()));
            self.poll.poll(&mut events, rest)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    token => self.turn(token),
                }
            }
            self.let_out();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let _ = stream.set_nodelay(true);
            let token = Token(self.next);
            self.next += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, token, interest)?;
            let client = Client {
                stream,
                read: Vec::new(),
                written: Vec::new(),
                ends: false,
            };
            self.clients.insert(token, client);
        }
    }

    /// Reads what there is, answers what is whole, writes what goes out.
    fn turn(&mut self, token: Token) {
        let Some(client) = self.clients.get_mut(&token) else {
            return;
        };
        let (script, held_back) = (self.script, &mut self.held_back);
        let due = Instant::now() + Duration::from_millis(script.delay_ms);
        let mut answered = 0;
        let ended = client.read_all().and_then(|()| {
            while let Some(reply) = client.reply(script.close)? {
                answered += 1;
                match script.delay_ms {
                    0 => client.queue(&reply, script.close),
                    _ => held_back.push_back((due, token, reply)),
                }
            }
            client.flush()
        });
        if ended.is_err() {
            self.clients.remove(&token);
        }
        let lives = |answers| script.die_after.map_or(0, |each| answers / each.max(1));
        let before = self.answers;
        self.answers += answered;
        if lives(before) != lives(self.answers) {
            self.clients.clear();
            self.held_back.clear();
        }
    }

    /// Writes what was held back for long enough.
    fn let_out(&mut self) {
        let now = Instant::now();
        while self.held_back.front().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, token, reply)) = self.held_back.pop_front() else {
                return;
            };
            if let Some(client) = self.clients.get_mut(&token) {
                client.queue(&reply, self.script.close);
                if client.flush().is_err() {
                    self.clients.remove(&token);
                }
            }
        }
    }
}

impl Client {
    fn read_all(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1 << 14];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The reply to the first request that was read, if all of it is there.
    fn reply(&mut self, close: bool) -> io::Result<Option<Vec<u8>>> {
        let Some(body) = whole(&self.read)? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let status = match self.read.starts_with(b"POST ") {
            false => "405 Method Not Allowed",
            true if answer(&self.read[body.clone()], &mut text) => "200 OK",
            true => "202 Accepted",
        };
        let kept = if close { "connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\n{kept}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        self.read.drain(..body.end);
        let mut reply = head.into_bytes();
        reply.append(&mut text);
        Ok(Some(reply))
    }

    fn queue(&mut self, reply: &[u8], is_last: bool) {
        self.written.extend_from_slice(reply);
        self.ends = is_last;
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.written.is_empty() {
            match self.stream.write(&self.written) {
                Ok(count) => drop(self.written.drain(..count)),
                // The event that says it goes on comes by itself.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        match self.ends {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

/// Where the body of the first request is, if all of it is there.
fn whole(read: &[u8]) -> io::Result<Option<std::ops::Range<usize>>> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match read.len() > LONGEST {
            true => Err(io::ErrorKind::InvalidData.into()),
            false => Ok(None),
        };
    };
    let head = String::from_utf8_lossy(&read[..end]);
    let stated = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())
    });
    let length = match stated {
        None => 0,
        Some(Some(length)) if length <= LONGEST => length,
        Some(_) => return Err(io::ErrorKind::InvalidData.into()),
    };
    let body = end + 4..end + 4 + length;
    Ok((read.len() >= body.end).then_some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_with_the_last_byte_of_its_body() {
        let request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST";
        let body = whole(request).unwrap().unwrap();
        assert_eq!(&request[body], b"abc");
        assert_eq!(whole(&request[..request.len() - 5]).unwrap(), None);
    }

    #[test]
    fn a_length_that_is_no_number_ends_the_connection() {
        assert!(whole(b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n").is_err());
    }
}
