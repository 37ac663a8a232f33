//! Standard input and output, read and written where they are: without a thread between.
//!
//! Promise: no flag of a descriptor that this process shares with others is changed. A pipe is opened once
//! more through `/proc/self/fd`, which gives a description of its own; a socket is asked each time not to
//! wait. What is neither, or cannot be opened again (another user's pipe), is read and written by tokio's
//! threads: a file, a terminal.
//! Cost: one system call a read or write; by a thread two wake-ups more.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};
use tokio::net::unix::pipe;

/// Standard input, to be read by one.
pub struct StandardInput(Input);

/// Standard output, to be written by one.
pub struct StandardOutput(Output);

enum Input {
    Pipe(pipe::Receiver),
    Socket(AsyncFd<OwnedFd>),
    Thread(Stdin),
}

enum Output {
    Pipe(pipe::Sender),
    Socket(AsyncFd<OwnedFd>),
    Thread(Stdout),
}

impl StandardInput {
    /// Takes standard input as it is now.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub fn open() -> Self {
        let stdin = io::stdin();
        Self(match kind(&stdin) {
            Kind::Pipe => pipe::OpenOptions::new()
                .open_receiver("/proc/self/fd/0")
                .map_or_else(|_| Input::Thread(tokio::io::stdin()), Input::Pipe),
            Kind::Socket(socket) => {
                registered(socket).map_or_else(|_| Input::Thread(tokio::io::stdin()), Input::Socket)
            }
            Kind::Other => Input::Thread(tokio::io::stdin()),
        })
    }
}

impl StandardOutput {
    /// Takes standard output as it is now.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub fn open() -> Self {
        let stdout = io::stdout();
        Self(match kind(&stdout) {
            Kind::Pipe => pipe::OpenOptions::new()
                .open_sender("/proc/self/fd/1")
                .map_or_else(|_| Output::Thread(tokio::io::stdout()), Output::Pipe),
            Kind::Socket(socket) => registered(socket)
                .map_or_else(|_| Output::Thread(tokio::io::stdout()), Output::Socket),
            Kind::Other => Output::Thread(tokio::io::stdout()),
        })
    }
}

enum Kind {
    Pipe,
    Socket(OwnedFd),
    Other,
}

fn kind(stream: &impl AsFd) -> Kind {
    // A descriptor of its own: the one that is shared stays open and as it is.
    let Ok(own) = stream.as_fd().try_clone_to_owned() else {
        return Kind::Other;
    };
    let file = File::from(own);
    match file.metadata().map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_fifo() => Kind::Pipe,
        Ok(kind) if kind.is_socket() => Kind::Socket(file.into()),
        _ => Kind::Other,
    }
}

// tokio asks for a promise instead, that the descriptor stays open and the same: an `OwnedFd` is that.
#[allow(deprecated)]
fn registered(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(socket)
}

impl AsyncRead for StandardInput {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Input::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Input::Thread(stdin) => Pin::new(stdin).poll_read(cx, buf),
            Input::Socket(socket) => poll_socket_read(socket, cx, buf),
        }
    }
}

fn poll_socket_read(
    socket: &AsyncFd<OwnedFd>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let room = buf.initialize_unfilled();
    loop {
        let mut ready = ready!(socket.poll_read_ready(cx))?;
        let received = ready.try_io(|socket| {
            let (received, _) = recv(socket, &mut *room, RecvFlags::DONTWAIT)?;
            Ok(received)
        });
        match received {
            Err(_) => {} // it was not ready after all
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(received) => {
                let received = received?;
                if received > 0 && received < room.len() {
                    ready.clear_ready(); // it is empty: the next word of the kernel says when it is not
                }
                buf.advance(received);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for StandardOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Output::Pipe(pipe) => Pin::new(pipe).poll_write(cx, bytes),
            Output::Thread(stdout) => Pin::new(stdout).poll_write(cx, bytes),
            Output::Socket(socket) => poll_socket_write(socket, cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Output::Thread(stdout) => Pin::new(stdout).poll_flush(cx),
            Output::Pipe(_) | Output::Socket(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Others may write there still: it ends with the process.
        self.poll_flush(cx)
    }
}

fn poll_socket_write(
    socket: &AsyncFd<OwnedFd>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        let mut ready = ready!(socket.poll_write_ready(cx))?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match ready.try_io(|socket| Ok(send(socket, bytes, flags)?)) {
            Err(_) => {} // it was not ready after all
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(sent) => return Poll::Ready(sent),
        }
    }
}
