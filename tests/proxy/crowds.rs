//! Many clients at once that call, cancel and vanish, before children that die: nobody gets a byte of another.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Response};
use plunge::proxy::{Mode, ServeOptions};
use plunge::resilience::BreakerOptions;
use plunge::transport::Command;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::{Client, modern_tool, tool};
use crate::fixture::{PATIENCE, marker, options, processes, python, start_with};

const CLIENTS: usize = 12;

/// How many calls each of them makes.
fn rounds(mode: Mode) -> usize {
    if mode == Mode::Oneshot { 8 } else { 25 }
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaks {
    InSession,
    WithoutSession,
    Modern,
}

/// What a client does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Takes no events.
    Whole,
    Stream,
    /// Takes the call back once it was heard of it.
    Cancel,
    /// Is gone as soon as it was heard of the call, which is answered, or is held.
    Vanish,
    VanishHeld,
}

/// What these can do here: a held call has to end, by its cancellation or by the next call on its child.
fn ways(mode: Mode, speaks: Speaks) -> &'static [Way] {
    use Way::{Cancel, Stream, Vanish, VanishHeld, Whole};
    match (mode, speaks) {
        (Mode::Session | Mode::Shared, Speaks::InSession) => {
            &[Stream, Cancel, Whole, VanishHeld, Stream, Vanish]
        }
        (Mode::Exclusive, Speaks::InSession) => &[Stream, Cancel, Whole, Vanish],
        (Mode::Shared, Speaks::WithoutSession) | (_, Speaks::Modern) => {
            &[Stream, VanishHeld, Whole, Vanish]
        }
        _ => &[Stream, Whole, Vanish],
    }
}

/// What became of the calls of a client.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    died: usize,
    cancelled: usize,
}

/// A client that knows what is its own.
struct Witness {
    number: usize,
    mode: Mode,
    speaks: Speaks,
    client: Client,
    /// What the stream of its session brought, once that has ended.
    listening: Option<JoinHandle<String>>,
    tally: Tally,
}

/// What is read of a reply.
struct Heard {
    response: Response<Incoming>,
    text: String,
}

impl Heard {
    fn of(response: Response<Incoming>) -> Self {
        let text = String::new();
        Self { response, text }
    }

    /// Reads until this is there, or to the end.
    async fn until(&mut self, what: &str) {
        while !self.text.contains(what) {
            let frame = tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await;
            // A reply that is cut off has no last event.
            let Some(frame) = frame.expect("more in time") else {
                return;
            };
            let bytes = frame.expect("a whole reply").into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn rest(mut self) -> String {
        self.until("nothing that is said").await;
        self.text
    }

    /// The id of the last event that was read.
    fn last_id(&self) -> Option<&str> {
        let ids = self.text.lines().rev();
        ids.filter_map(|line| line.strip_prefix("id: ")).next()
    }
}

/// The messages of a reply, JSON or events.
fn messages(text: &str) -> Vec<Value> {
    let parse = |text: &str| serde_json::from_str(text).unwrap();
    match text.starts_with('{') {
        true => vec![parse(text)],
        false => text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|message| !message.is_empty())
            .map(parse)
            .collect(),
    }
}

impl Witness {
    /// The client's part of every mark.
    fn name(&self) -> String {
        format!("mark-{:02}-", self.number)
    }

    fn mark(&self, round: usize) -> String {
        format!("{}{round:02}", self.name())
    }

    /// Says no byte of this is another's.
    fn is_own(&self, text: &str) {
        for (at, _) in text.match_indices("mark-") {
            assert!(text[at..].starts_with(&self.name()), "{self}: {text}");
        }
    }

    async fn begin(&mut self) {
        if self.speaks != Speaks::InSession {
            return;
        }
        self.client.session = None;
        self.client = self.client.begin().await;
        let stream = self.client.open(Method::GET, "/mcp", Bytes::new()).await;
        assert_eq!(stream.status(), 200);
        self.listening = Some(tokio::spawn(Heard::of(stream).rest()));
    }

    /// The end of its session, if it is not over, and with it of the stream.
    async fn end(&mut self) {
        if let Some(listening) = self.listening.take() {
            self.client.send(Method::DELETE, "").await;
            self.is_own(&listening.await.unwrap());
        }
    }

    async fn run(mut self) -> Tally {
        self.begin().await;
        let ways = ways(self.mode, self.speaks);
        for round in 0..rounds(self.mode) {
            let way = ways[(round + self.number) % ways.len()];
            if !self.call(round, way).await {
                self.end().await;
                self.begin().await;
            }
        }
        self.end().await;
        self.tally
    }

    fn message(&self, round: usize, way: Way) -> Value {
        let holds = matches!(way, Way::Cancel | Way::VanishHeld);
        let name = if holds { "hold" } else { "answer" };
        let mut arguments = json!({"mark": self.mark(round)});
        // A process that has one call dies of that.
        if self.mode == Mode::Oneshot && round.is_multiple_of(5) {
            arguments["die"] = json!(true);
        }
        // Every client's ids and tokens are the same.
        let mut message = match self.speaks {
            Speaks::Modern => modern_tool(round, name, arguments),
            _ => tool(round, name, arguments),
        };
        message["params"]["_meta"]["progressToken"] = json!(round);
        message
    }

    /// Makes one call; says whether its session goes on.
    async fn call(&mut self, round: usize, way: Way) -> bool {
        let message = self.message(round, way);
        let mut client = match self.speaks {
            Speaks::Modern => self.client.headed(&message),
            _ => self.client.clone(),
        };
        if way == Way::Whole {
            client.accept = "application/json";
        }
        let body = message.to_string().into();
        let mut heard = Heard::of(client.open(Method::POST, "/mcp", body).await);
        match way {
            Way::Whole | Way::Stream => {}
            Way::Cancel => {
                heard.until("\n\n").await;
                heard.until("notifications/progress").await;
                client.cancel(round as u32).await;
            }
            Way::Vanish | Way::VanishHeld => {
                heard.until("notifications/progress").await;
                return self.vanish(round, heard).await;
            }
        }
        let text = heard.rest().await;
        self.is_own(&text);
        self.check(round, &text)
    }

    /// Goes away, calls once more, and comes back to what it left if it may.
    async fn vanish(&mut self, round: usize, heard: Heard) -> bool {
        self.is_own(&heard.text);
        let kept = heard.last_id().map(str::to_owned);
        drop(heard);
        let Some(kept) = kept.filter(|_| self.mode == Mode::Session) else {
            return true;
        };
        // Whatever was held is answered before this is.
        let next = tool(100 + round, "answer", json!({"mark": self.mark(round)}));
        let mut client = self.client.clone();
        client.accept = "application/json";
        let reply = client.post(&next).await;
        let text = std::str::from_utf8(&reply.body).unwrap();
        self.is_own(text);
        if reply.json().get("error").is_some() {
            return self.check(100 + round, text);
        }
        let back = self.client.with("last-event-id", &kept);
        let mut heard = Heard::of(back.open(Method::GET, "/mcp", Bytes::new()).await);
        assert_eq!(heard.response.status(), 200);
        let answer = format!("\"id\": {round}, \"result\"");
        heard.until(&answer).await;
        assert!(heard.text.contains(&answer), "{self}: {}", heard.text);
        self.is_own(&heard.text);
        true
    }

    /// Looks at each message of a reply; says whether the session goes on.
    fn check(&mut self, round: usize, text: &str) -> bool {
        let mark = self.mark(round);
        let mut messages = messages(text);
        let last = messages.pop().unwrap_or_else(|| panic!("{self}: {text}"));
        for message in messages {
            let params = &message["params"];
            match message["method"].as_str() {
                Some("notifications/progress") => {
                    assert_eq!(
                        (&params["progressToken"], &params["message"]),
                        (&json!(round), &json!(mark))
                    );
                }
                // In a session it may be about another call of its own.
                Some("notifications/message") => {}
                _ => panic!("{self}: {message}"),
            }
        }
        if last["id"] != json!(round) {
            panic!("{self}: {last}");
        }
        if last.get("result").is_some() {
            assert_eq!(last["result"]["content"][0]["text"], mark, "{self}");
            self.tally.answered += 1;
            return true;
        }
        match last["error"]["data"]["kind"].as_str() {
            Some("child_died") => self.tally.died += 1,
            Some("cancelled") => {
                self.tally.cancelled += 1;
                return true;
            }
            Some("session_ended") => {}
            _ => panic!("{self}: {last}"),
        }
        self.mode != Mode::Session
    }
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {:?}, {:?}", self.name(), self.mode, self.speaks)
    }
}

/// Children that die of this many calls.
fn marking(mark: &str, mode: Mode, flags: &[&str], deadly: u32) -> ServeOptions {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/marking.py");
    let command = Command::new(python()).arg(path).args(flags);
    let command = command.arg(deadly.to_string()).arg(mark);
    let children = match mode {
        Mode::Shared | Mode::Stateless => 2,
        Mode::Session => 4 * CLIENTS as u32,
        _ => 4,
    };
    ServeOptions {
        max_connections: Some(children),
        acquire_timeout: PATIENCE,
        breaker: BreakerOptions {
            failures: u32::MAX,
            least_calls: u32::MAX,
            ..BreakerOptions::default()
        },
        ..options(command, mode)
    }
}

async fn nobody_hears_another(mode: Mode, flags: &[&str], deadly: u32, speak: &[Speaks]) {
    let mark = marker(&format!("crowd-{mode:?}"));
    let (server, client) = start_with(marking(&mark, mode, flags, deadly)).await;
    let mut crowd = JoinSet::new();
    for number in 0..CLIENTS {
        let witness = Witness {
            number,
            mode,
            speaks: speak[number % speak.len()],
            client: client.clone(),
            listening: None,
            tally: Tally::default(),
        };
        crowd.spawn(witness.run());
    }
    let mut all = Tally::default();
    while let Some(tally) = crowd.join_next().await {
        let tally = tally.unwrap();
        all.answered += tally.answered;
        all.died += tally.died;
        all.cancelled += tally.cancelled;
    }
    assert!(all.answered > CLIENTS && all.died > 0, "{all:?}");
    // Where children are shared, another one's call has what is held answered first, now and then.
    if matches!(mode, Mode::Session | Mode::Exclusive) {
        assert!(all.cancelled > 0, "{all:?}");
    }
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test]
async fn nobody_hears_another_session() {
    nobody_hears_another(Mode::Session, &[], 7, &[Speaks::InSession]).await;
}

#[tokio::test]
async fn nobody_hears_another_who_had_the_child_before() {
    let speak = [Speaks::InSession, Speaks::WithoutSession, Speaks::Modern];
    nobody_hears_another(Mode::Exclusive, &[], 9, &speak).await;
}

#[tokio::test]
async fn nobody_hears_another_on_the_same_child() {
    let speak = [Speaks::InSession, Speaks::WithoutSession, Speaks::Modern];
    nobody_hears_another(Mode::Shared, &[], 30, &speak).await;
}

#[tokio::test]
async fn nobody_hears_another_on_the_same_child_of_the_newer_revision() {
    nobody_hears_another(Mode::Stateless, &["modern"], 30, &[Speaks::Modern]).await;
}

#[tokio::test]
async fn nobody_hears_another_whose_process_ran_beside() {
    let speak = [Speaks::WithoutSession, Speaks::Modern];
    nobody_hears_another(Mode::Oneshot, &[], 0, &speak).await;
}

#[tokio::test]
async fn what_a_call_says_that_was_taken_back_reaches_nobody() {
    let mark = marker("crowd-late");
    let one = ServeOptions {
        max_connections: Some(1),
        ..marking(&mark, Mode::Shared, &[], 0)
    };
    let (_server, client) = start_with(one).await;
    let session = client.begin().await;
    let mut held = tool(1, "hold", json!({"mark": "mark-of-one"}));
    held["params"]["_meta"] = json!({"progressToken": 1});
    let mut events = session.stream(&held).await;
    let told = events.next().await.unwrap();
    assert_eq!(told["params"]["message"], "mark-of-one");
    session.cancel(1).await;
    let other = tool(1, "answer", json!({"mark": "mark-of-other"}));
    let stream = client.open(Method::POST, "/mcp", other.to_string().into());
    let text = Heard::of(stream.await).rest().await;
    assert!(text.contains("mark-of-other"), "{text}");
    assert!(!text.contains("mark-of-one"), "{text}");
}
