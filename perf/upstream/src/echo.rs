//! Echo: an HTTP server on one mio loop that answers as an MCP server would.
//!
//! Promise: nothing between it and the system: what a client measures with it is the client and the
//! loopback. HTTP/1.1 with kept connections and bodies of a stated length; anything else ends its
//! connection. Only a POST is answered; 405 to the rest says that there is no stream and no session. Told
//! to close, it ends each connection after one answer, as a server that keeps none does.
//! Cost: one thread; two buffers a connection.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::answer::answer;

const LISTENER: Token = Token(usize::MAX);
/// The longest head and body together.
const LONGEST: usize = 1 << 20;

/// One client.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    written: Vec<u8>,
    /// Ends with its first answer.
    once: bool,
}

/// Serves until the process is ended.
pub fn serve(address: SocketAddr, close: bool) -> io::Result<ExitCode> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut clients: HashMap<Token, Client> = HashMap::new();
    let mut next = 0;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut clients, &mut next, close)?;
            } else if let Some(client) = clients.get_mut(&event.token())
                && client.turn().is_err()
            {
                clients.remove(&event.token());
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    clients: &mut HashMap<Token, Client>,
    next: &mut usize,
    once: bool,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let _ = stream.set_nodelay(true);
        let token = Token(*next);
        *next += 1;
        poll.registry()
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let client = Client {
            stream,
            read: Vec::new(),
            written: Vec::new(),
            once,
        };
        clients.insert(token, client);
    }
}

impl Client {
    /// Reads what there is, answers what is whole, writes what goes out.
    fn turn(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1 << 14];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while let Some(body) = whole(&self.read)? {
            let mut text = Vec::new();
            let status = match self.read.starts_with(b"POST ") {
                false => "405 Method Not Allowed",
                true if answer(&self.read[body.clone()], &mut text) => "200 OK",
                true => "202 Accepted",
            };
            let kept = if self.once {
                "connection: close\r\n"
            } else {
                ""
            };
            write!(
                self.written,
                "HTTP/1.1 {status}\r\n{kept}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            )?;
            self.written.extend_from_slice(&text);
            self.read.drain(..body.end);
            if self.once {
                self.flush()?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        self.flush()
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
        Ok(())
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
