//! Answers that are very long, no text, or break off, in each mode and to a client of `plunge forward`.

use plunge::proxy::{Mode, ServeOptions, Server};
use serde_json::{Value, json};

use crate::client::{Client, initialize, text_of, tool};
use crate::fixture::{MODES, options, script, start_with};
use crate::forwarded::Forwarded;

fn few(mode: Mode) -> ServeOptions {
    ServeOptions {
        max_connections: Some(if mode == Mode::Session { 4 } else { 2 }),
        ..options(script("plunge-test", &[]), mode)
    }
}

/// One client, over HTTP or over lines.
enum Front {
    Served {
        client: Client,
        _server: Box<Server>,
    },
    Forwarded(Forwarded),
}

impl Front {
    async fn both(mode: Mode) -> [Self; 2] {
        let (server, client) = start_with(few(mode)).await;
        let mut both = [
            Self::Served {
                client,
                _server: Box::new(server),
            },
            Self::Forwarded(Forwarded::start(few(mode))),
        ];
        for front in &mut both {
            front.begin(mode).await;
        }
        both
    }

    async fn begin(&mut self, mode: Mode) {
        match self {
            // Where each message has a process of its own there is nothing to begin.
            _ if mode == Mode::Oneshot => {}
            Self::Served { client, .. } => {
                client.session = None;
                *client = client.begin().await;
            }
            Self::Forwarded(forwarded) => {
                let begun = forwarded.ask(&initialize("2025-11-25")).await;
                assert!(begun["result"].is_object(), "{mode:?}: {begun}");
            }
        }
    }

    async fn call(&mut self, id: usize, name: &str, arguments: Value) -> Value {
        let call = tool(id, name, arguments);
        match self {
            Self::Served { client, .. } => client.post(&call).await.json(),
            Self::Forwarded(forwarded) => forwarded.ask(&call).await,
        }
    }
}

#[tokio::test]
async fn answers_of_sixteen_megabytes_pass_whole_in_every_mode() {
    let bytes = (16 << 20) - 1000;
    // Of the clients over lines one is enough: each costs seconds.
    for mode in [Mode::Exclusive, Mode::Stateless, Mode::Oneshot] {
        let [mut served, mut forwarded] = Front::both(mode).await;
        is_whole(&mut served, bytes).await;
        if mode == Mode::Exclusive {
            is_whole(&mut forwarded, bytes).await;
        }
    }
}

async fn is_whole(front: &mut Front, bytes: usize) {
    let answer = front.call(1, "big", json!({"bytes": bytes})).await;
    assert_eq!(text_of(&answer).len(), bytes);
    let next = front.call(2, "echo", json!({})).await;
    assert_eq!(text_of(&next), "{}");
}

#[tokio::test]
async fn bytes_of_an_answer_that_are_no_utf8_are_replaced_in_every_mode() {
    for mode in MODES {
        for mut front in Front::both(mode).await {
            let answer = front.call(1, "latin", json!({})).await;
            assert_eq!(text_of(&answer), "caf\u{fffd}", "{mode:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_typed_error_and_the_next_call_is_served() {
    // The line has 76 bytes, and three of them, from 68 on, are one character.
    for mode in MODES {
        for mut front in Front::both(mode).await {
            for (id, at) in [1, 69, 75].into_iter().enumerate() {
                let died = front.call(id, "torn", json!({"at": at})).await;
                let kind = &died["error"]["data"]["kind"];
                assert_eq!(
                    (kind, &died["id"]),
                    (&json!("child_died"), &json!(id)),
                    "{mode:?} {at}: {died}"
                );
                if mode == Mode::Session {
                    front.begin(mode).await;
                }
                let next = front.call(7, "echo", json!({})).await;
                assert_eq!(text_of(&next), "{}", "{mode:?}");
            }
        }
    }
}
