//! Words and state machines of the subprocess transport, without processes.

mod buffer;
mod log;
mod queue;
mod sink;
mod state;
mod words;
