//! Words and state machines of the subprocess transport, without processes.

mod buffer;
mod forks;
mod log;
mod queue;
mod sink;
mod state;
mod words;
