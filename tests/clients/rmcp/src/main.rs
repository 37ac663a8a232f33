//! Drives a proxy with the official Rust client: `plunge-rmcp-client URL legacy|auto|modern`.
//! Says `all seen` at the end; anything unexpected ends it with a panic.

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt};
use rmcp::transport::StreamableHttpClientTransport;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(era)) = (args.next(), args.next()) else {
        panic!("usage: plunge-rmcp-client URL legacy|auto|modern");
    };
    tokio::time::timeout(Duration::from_secs(60), drive(&url, &era))
        .await
        .expect("everything within a minute");
    println!("all seen");
}

async fn drive(url: &str, era: &str) {
    let transport = StreamableHttpClientTransport::from_uri(url.to_owned());
    let modern = vec![ProtocolVersion::V_2026_07_28];
    let client = match era {
        "legacy" => ().serve(transport).await,
        "modern" => {
            let mode = ClientLifecycleMode::Discover {
                preferred_versions: modern,
            };
            ().serve_with_lifecycle(transport, mode).await
        }
        "auto" => {
            let mode = ClientLifecycleMode::Auto {
                preferred_versions: modern,
                legacy_version: None,
            };
            ().serve_with_lifecycle(transport, mode).await
        }
        other => panic!("no such era: {other}"),
    }
    .expect("a handshake");
    let tools = client.list_all_tools().await.expect("a list of tools");
    println!("{} tools", tools.len());
    assert!(
        tools.iter().any(|tool| tool.name == "echo"),
        "a tool called echo"
    );
    for number in 0..20 {
        let arguments = serde_json::json!({"message": format!("hello {number}")});
        let arguments = arguments.as_object().cloned().expect("an object");
        let call = CallToolRequestParams::new("echo").with_arguments(arguments);
        let result = client.call_tool(call).await.expect("an answer");
        let text = serde_json::to_string(&result).expect("JSON");
        assert!(text.contains(&format!("hello {number}")), "{text}");
    }
    client.cancel().await.expect("an end in order");
}
