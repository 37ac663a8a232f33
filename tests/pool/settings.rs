//! Options as text: read, refused by name, written and read back the same.

use std::time::Duration;

use plunge::{Fairness, IdleOrder, Plain, PoolOptions, PoolTuning, Profile};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::try_plain;

type Options = PoolOptions<Plain<u64>>;

fn read(text: Value) -> Result<Options, String> {
    serde_json::from_value(text).map_err(|error| error.to_string())
}

fn written(options: &Options) -> Value {
    serde_json::to_value(options).unwrap()
}

#[test]
fn what_is_given_is_set_and_the_rest_is_the_default() {
    let options = read(json!({
        "name": "orders",
        "max_connections": 3,
        "acquire_timeout": "250ms",
        "idle_timeout": "1m30s",
        "check_after_idle": "never",
        "connect_backoff": { "first": "10ms", "longest": "2s" },
        "fairness": { "eventual": "20ms" },
        "idle_order": "lifo",
    }))
    .unwrap();
    let by_hand = Options::new()
        .name("orders")
        .max_connections(3)
        .acquire_timeout(Duration::from_millis(250))
        .idle_timeout(Duration::from_secs(90))
        .check_after_idle(Duration::MAX)
        .connect_backoff(Duration::from_millis(10), Duration::from_secs(2))
        .fairness(Fairness::Eventual(Duration::from_millis(20)))
        .idle_order(IdleOrder::Lifo);
    assert_eq!(format!("{options:?}"), format!("{by_hand:?}"));
    assert_eq!(written(&options), written(&by_hand));
    assert_eq!(written(&read(json!({})).unwrap()), written(&Options::new()));
}

#[test]
fn a_profile_is_what_the_other_settings_change() {
    let options = read(json!({ "max_lifetime": "never", "profile": "low_latency" })).unwrap();
    let mut wanted = written(&Options::profile(Profile::LowLatency));
    assert_eq!(wanted["max_lifetime"], json!("30m"));
    wanted["max_lifetime"] = json!("never");
    assert_eq!(written(&options), wanted);
}

#[test]
fn what_was_written_is_read_back_the_same() {
    let every = Options::new()
        .max_connections(5)
        .max_connections_ceiling(9)
        .min_idle(2)
        .max_connecting(3)
        .max_waiters(7)
        .acquire_timeout(Duration::from_micros(1_500))
        .connect_timeout(Duration::from_secs(61))
        .hook_timeout(Duration::from_nanos(1))
        .close_timeout(Duration::from_secs(7200))
        .check_after_idle(Duration::ZERO)
        .idle_timeout(Duration::from_millis(1))
        .max_lifetime(Duration::from_secs(86_400))
        .leak_after(Duration::from_secs(2))
        .slow_acquire(Duration::from_secs(1))
        .connect_backoff(Duration::from_millis(1), Duration::from_millis(2))
        .fairness(Fairness::Barging)
        .idle_order(IdleOrder::Fifo);
    let profiles = [
        Profile::LowLatency,
        Profile::Throughput,
        Profile::Subprocess,
        Profile::Constrained,
    ];
    let all = profiles.map(Options::profile).into_iter();
    for options in all.chain([Options::new(), every]) {
        let text = serde_json::to_string(&options).unwrap();
        for again in read_in_each_format(&options) {
            assert_eq!(format!("{again:?}"), format!("{options:?}"), "{text}");
            assert_eq!(serde_json::to_string(&again).unwrap(), text);
            assert!(try_plain(again).is_ok(), "{text}");
        }
    }
}

/// Written and read back: in two formats that name what they hold, and in one that does not.
fn read_in_each_format<S: Serialize + DeserializeOwned>(settings: &S) -> [S; 3] {
    let json = serde_json::to_string(settings).unwrap();
    let toml = toml::to_string(settings).unwrap();
    let bytes = postcard::to_allocvec(settings).unwrap();
    [
        serde_json::from_str(&json).unwrap(),
        toml::from_str(&toml).unwrap(),
        postcard::from_bytes(&bytes).unwrap(),
    ]
}

#[test]
fn tuning_is_spelled_as_options_are() {
    let text = json!({
        "profile": "constrained",
        "max_connections": 3,
        "idle_timeout": "never",
        "fairness": { "eventual": "20ms" },
    });
    let options = read(text.clone()).unwrap();
    let tuning: PoolTuning<Plain<u64>> = serde_json::from_value(text).unwrap();
    for again in read_in_each_format(&tuning) {
        let (again, options) = (serde_json::to_value(&again).unwrap(), written(&options));
        let again = again.as_object().unwrap();
        assert!(again.iter().all(|(name, value)| options[name] == *value));
        assert_eq!(again["acquire_timeout"], json!("5s"));
    }
    let pool = try_plain(options).unwrap();
    pool.tune(|before| *before = tuning.clone()).unwrap();
    assert_eq!(pool.tuning().max_connections, 3);
    let wrong = json!({ "idle_order": "lifo" });
    let error = serde_json::from_value::<PoolTuning<u64>>(wrong).unwrap_err();
    assert!(error.to_string().contains("idle_order"), "{error}");
}

#[cfg(feature = "keyed")]
#[test]
fn keyed_options_hold_those_of_each_key() {
    use plunge::KeyedOptions;

    type Keyed = KeyedOptions<u32, Plain<u64>>;
    let text = r#"
        max_connections = 50
        key_timeout = "5m"
        [per_key]
        profile = "throughput"
        max_connections = 2
    "#;
    let options: Keyed = toml::from_str(text).unwrap();
    let by_hand = Keyed::new()
        .max_connections(50)
        .key_timeout(Duration::from_secs(300))
        .per_key(Options::profile(Profile::Throughput).max_connections(2));
    assert_eq!(format!("{options:?}"), format!("{by_hand:?}"));
    for again in read_in_each_format(&options) {
        assert_eq!(format!("{again:?}"), format!("{by_hand:?}"));
    }
    let wrong = [
        (json!({ "max_connection": 1 }), "max_connection"),
        (json!({ "key_timeout": 5 }), "key_timeout"),
        (json!({ "per_key": { "min_idle": -1 } }), "min_idle"),
    ];
    for (text, name) in wrong {
        let error = serde_json::from_value::<Keyed>(text).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_name() {
    let cases = [
        (json!({ "max_conections": 3 }), "max_conections"),
        (json!({ "acquire_timeout": "soon" }), "acquire_timeout"),
        (json!({ "acquire_timeout": 5 }), "acquire_timeout"),
        (json!({ "connect_timeout": "never" }), "connect_timeout"),
        (json!({ "idle_timeout": "5" }), "idle_timeout"),
        (json!({ "min_idle": -1 }), "min_idle"),
        (json!({ "max_waiters": 5_000_000_000_u64 }), "max_waiters"),
        (json!({ "fairness": "sometimes" }), "fairness"),
        (json!({ "fairness": { "eventual": 20 } }), "fairness"),
        (json!({ "connect_backoff": { "first": "1s" } }), "longest"),
        (
            json!({ "connect_backoff": { "first": "1s", "last": "2s" } }),
            "connect_backoff",
        ),
        (json!({ "profile": "fast" }), "profile"),
        (json!({ "hooks": {} }), "hooks"),
        (json!([1, 2]), "options of a pool"),
    ];
    for (text, name) in cases {
        let error = read(text.clone()).expect_err(&text.to_string());
        assert!(error.contains(name), "{text}: {error}");
    }
    let twice = r#"{ "min_idle": 1, "min_idle": 2 }"#;
    let error = serde_json::from_str::<Options>(twice)
        .unwrap_err()
        .to_string();
    assert!(error.contains("min_idle"), "{error}");
    let contradiction = read(json!({ "min_idle": 11 })).unwrap();
    assert_eq!(try_plain(contradiction).unwrap_err().field(), "min_idle");
}

/// A value as the table of `Profile` spells it.
fn spelled(value: &Value) -> String {
    match value {
        Value::Null => "no bound".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(parts) if parts.contains_key("eventual") => {
            format!("eventual({})", spelled(&parts["eventual"]))
        }
        parts => format!(
            "{},{}",
            spelled(&parts["first"]),
            spelled(&parts["longest"])
        ),
    }
}

#[test]
fn the_table_of_profiles_is_what_they_are() {
    let columns = [
        Options::new(),
        Options::profile(Profile::LowLatency),
        Options::profile(Profile::Throughput),
        Options::profile(Profile::Subprocess),
        Options::profile(Profile::Constrained),
    ]
    .map(|options| written(&options));
    let source = include_str!("../../src/pool/profile.rs");
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("/// | `"));
    let mut seen = 0;
    for row in rows {
        let (option, cells) = row.split_once("` |").unwrap();
        let cells: Vec<&str> = cells.trim_end_matches('|').split(" | ").collect();
        for (column, cell) in columns.iter().zip(&cells) {
            let told = cell
                .replace(['`', ' '], "")
                .replace("min", "m")
                .to_lowercase();
            let told = told.replace("off", "never");
            let is = spelled(&column[option]).replace(' ', "");
            assert_eq!(told, is, "{option}");
            seen += 1;
        }
    }
    assert_eq!(seen, 14 * columns.len());
}
