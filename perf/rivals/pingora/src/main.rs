//! Pingora as a reverse proxy to one upstream, for comparison: `pingora LISTEN UPSTREAM WORKERS`.
//!
//! Promise: nothing but what its crate does by default. Cost: that of its build (needs cmake).

use async_trait::async_trait;
use pingora::prelude::*;

struct Through(String);

#[async_trait]
impl ProxyHttp for Through {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(
            self.0.as_str(),
            false,
            String::new(),
        )))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([listen, upstream, _], Some(workers)) = (
        &arguments[..],
        arguments.get(2).and_then(|workers| workers.parse().ok()),
    ) else {
        eprintln!("usage: pingora LISTEN UPSTREAM WORKERS");
        std::process::exit(2);
    };
    let mut configuration = pingora::server::configuration::ServerConf::default();
    configuration.threads = workers;
    configuration.upstream_keepalive_pool_size = 1024;
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut service =
        pingora::proxy::http_proxy_service(&server.configuration, Through(upstream.clone()));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever();
}
