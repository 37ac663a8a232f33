//! Connections that plunge knows how to make: a child process, later sockets.
