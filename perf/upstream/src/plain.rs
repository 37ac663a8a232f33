//! Plain: an HTTP server on one mio loop that gives every request the same small answer.
//!
//! Promise: nothing between it and the system; it answers requests without a body, pipelined ones in order.
//! What is measured through it is the client, the loopback, and what stands between.
//! Cost: one thread; a read and a write a request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
/// What ends a request here: one with a body does not come to this server.
const END: &[u8] = b"\r\n\r\n";

/// Serves until the process is ended.
pub fn serve(address: SocketAddr, body_bytes: usize) -> io::Result<ExitCode> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut events, mut clients) = (Events::with_capacity(1024), HashMap::new());
    let (mut next, mut buffer) = (0, vec![0; 1 << 16]);
    let answer = answer(body_bytes);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    poll.registry()
                        .register(&mut stream, Token(next), Interest::READABLE)?;
                    clients.insert(Token(next), stream);
                    next += 1;
                }
            } else if let Some(stream) = clients.get_mut(&event.token())
                && turn(stream, &mut buffer, &answer).is_err()
            {
                clients.remove(&event.token());
            }
        }
    }
}

fn answer(body_bytes: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {body_bytes}\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + body_bytes, b'.');
    answer
}

/// Reads what there is and answers it. Requests are far shorter than the buffer and come whole.
fn turn(stream: &mut TcpStream, buffer: &mut [u8], answer: &[u8]) -> io::Result<()> {
    loop {
        let count = match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let requests = buffer[..count]
            .windows(END.len())
            .filter(|four| *four == END)
            .count();
        match requests {
            1 => stream.write_all(answer)?,
            many => stream.write_all(&answer.repeat(many))?,
        }
        // The poll is edge-triggered: more than was asked for may be there only if the buffer is full.
        if count < buffer.len() {
            return Ok(());
        }
    }
}
