//! The paths of one MCP endpoint.

/// Where MCP is spoken, and where its transport of 2024-11-05 is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// One path, three HTTP methods.
    pub endpoint: String,
    /// Where the old stream is.
    pub stream: String,
    /// Where the client of an old stream posts.
    pub posts: String,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Where MCP is spoken.
    Endpoint,
    /// Where the old stream is.
    Stream,
    /// Where the client of an old stream posts.
    Posts,
}

impl Paths {
    /// Those of an endpoint. One at `/mcp` has the old paths that its clients know.
    pub fn new(endpoint: &str) -> Self {
        let below = if endpoint == "/mcp" { "" } else { endpoint };
        Self {
            endpoint: endpoint.to_owned(),
            stream: format!("{below}/sse"),
            posts: format!("{below}/messages"),
        }
    }

    /// Which of them this is.
    pub fn spot(&self, path: &str) -> Option<Spot> {
        match path {
            _ if path == self.endpoint => Some(Spot::Endpoint),
            _ if path == self.stream => Some(Spot::Stream),
            _ if path == self.posts => Some(Spot::Posts),
            _ => None,
        }
    }
}
