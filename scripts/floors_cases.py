"""What scripts/floors.sh --selftest plants: a clean house, and one violation of each kind beside it."""

# Look-alikes that must pass: words in comments and literals, lifetimes, allowed directions.
CLEAN = {
    "src/lib.rs": "//! Root.\nmod engine;\nmod pool;\npub use pool::{Pool, handle::Handle as H};\n",
    "src/sync/mod.rs": "//! Door.\nmod real;\n#[cfg(test)]\nmod tests;\npub use real::{Arc, A};\n",
    "src/sync/real.rs": "//! Real.\npub use std::sync::Arc;\npub use parking_lot::Mutex;\n",
    "src/time/mod.rs": "//! Time.\nmod coarse;\npub(crate) use coarse::Coarse;\n",
    "src/time/coarse.rs": "//! Clock.\nuse crate::sync::Arc;\npub fn now() -> std::time::Instant { todo() }\n",
    "src/engine/slots.rs": (
        "//! Slots.\nuse crate::{sync::Arc, time::Tick};\nuse super::waiters::List;\n"
        "// use crate::pool::Pool; std::sync::Mutex\n"
        "/* use crate::proxy::X; /* nested */ unsafe */\n"
        "fn f<'a>(x: &'a str) -> char { let _ = r#\"use crate::pool::X; \"unsafe\" \"#; "
        "let _ = \"std::sync::Arc \\\" unsafe\"; '\"' }\n"
        "fn g() { unsafe { h() } }\n"),
    "src/engine/tests/models.rs": "//! Models.\nuse super::super::slots::S;\nuse loom::thread;\n",
    "src/pool/mod.rs": "//! Pool.\nmod handle;\npub use handle::Handle;\n",
    "src/pool/handle.rs": "//! Handle.\nuse crate::engine::slots;\nuse tokio::sync::Notify;\nuse super::H;\n",
    "src/transport/mod.rs": "//! Transport.\npub mod child;\n",
    "src/transport/child.rs": "//! Child.\nuse crate::pool::Handle;\nuse crate::{Pool, sync::Arc};\n",
    "src/bin/plunge.rs": "//! Command.\nuse plunge::proxy::Server;\nfn main() {}\n",
    "tests/pool/main.rs": "//! Tests.\nuse std::sync::Arc;\n",
    "Cargo.toml": "",
}


def long_function(lines, above=""):
    return f"//! F.\n{above}fn long() {{\n" + "    step();\n" * (lines - 2) + "}\n"


PLANTED = [
    ("imports up: `crate::pool::Pool`", {"src/engine/a.rs": "//! A.\nuse crate::pool::Pool;\n"}),
    ("imports up: `crate::pool::Pool`", {"src/engine/a.rs": "//! A.\nuse crate::{sync::Arc, pool::{Pool}};\n"}),
    ("imports up: `crate::pool::P::new`", {"src/engine/a.rs": "//! A.\nfn f() { crate::pool::P::new() }\n"}),
    ("imports up: `crate::pool::P`", {"src/engine/a.rs": "//! A.\nuse super::super::pool::P;\n"}),
    ("imports up: `crate::pool::P`", {"src/engine/a.rs": "//! A.\nmod m {\n    use super::super::super::pool::P;\n}\n"}),
    ("imports up: `crate::Pool`", {"src/engine/a.rs": "//! A.\nuse crate::Pool;\n"}),
    ("imports up: `crate::proxy::S`", {"src/transport/a.rs": "//! A.\nuse crate::proxy::S;\n"}),
    ("imports sideways: `crate::watch::W`", {"src/resilience/a.rs": "//! A.\nuse crate::watch::W;\n"}),
    ("imports sideways: `crate::time::T`", {"src/sync/a.rs": "//! A.\nuse crate::time::T;\n"}),
    ("sees the engine", {"src/transport/a.rs": "//! A.\nuse crate::engine::slots::S;\n"}),
    ("sees the engine", {"src/transport/a.rs": "//! A.\nuse crate::engine::tests::T;\n"}),
    ("sees the engine", {"src/transport/a_tests.rs": "//! A.\nuse crate::engine::slots::S;\n"}),
    ("private module of the pool", {"src/transport/a.rs": "//! A.\nuse crate::pool::handle::Body;\n"}),
    ("names `std::sync::Arc`", {"src/pool/a.rs": "//! A.\nuse std::{fmt, sync::Arc};\n"}),
    ("names `std::sync::Mutex::new`", {"src/pool/a.rs": "//! A.\nfn f() { std::sync::Mutex::new(1); }\n"}),
    ("names `crossbeam_queue::ArrayQueue`", {"src/engine/a.rs": "//! A.\nuse crossbeam_queue::ArrayQueue;\n"}),
    ("names `parking_lot::Mutex`", {"src/proxy/a.rs": "//! A.\nuse parking_lot::Mutex;\n"}),
    ("names `arc_swap::ArcSwap`", {"src/pool/a.rs": "//! A.\nuse arc_swap::ArcSwap;\n"}),
    ("names `loom::model`", {"src/engine/a.rs": "//! A.\nuse loom::model;\n"}),
    ("names tokio", {"src/engine/a.rs": "//! A.\nuse tokio::time::sleep;\n"}),
    ("clock that is not ours", {"src/pool/a.rs": "//! A.\nuse std::time::{Duration, Instant};\n"}),
    ("names `std::sync::Mutex`", {"src/engine/tests/a.rs": "//! A.\nuse std::sync::Mutex;\n"}),
    ("`unsafe` outside", {"src/pool/a.rs": "//! A.\nfn f() { unsafe { g() } }\n"}),
    ("no floor of the house", {"src/cellar/a.rs": "//! A.\n"}),
    ("names nothing", {"src/pool/util.rs": "//! A.\n"}),
    ("does not open with", {"src/pool/a.rs": "fn f() {}\n"}),
    ("does not open with", {"tests/pool/a.rs": "/// Not a file's docs.\nfn f() {}\n"}),
    ("mod.rs holds more", {"src/engine/mod.rs": "//! E.\nmod slots;\n\npub fn logic() {}\n"}),
    ("mod.rs holds more", {"benches/case/mod.rs": "//! B.\npub const CASES: u32 = 3;\n"}),
    ("401 lines of code", {"src/pool/a.rs": "//! A.\n" + "static A: u8 = 1;\n" * 401}),
    ("`long` has 71 lines", {"src/pool/a.rs": long_function(71)}),
    ("`long` has 71 lines", {"tests/pool/a.rs": long_function(71)}),
    ("stands at the top level", {"notes.txt": ""}),
]

# The limits themselves, and written reasons, pass: they join the clean house.
CLEAN |= {
    "src/pool/at_limit.rs": "//! A.\n" + "static A: u8 = 1;\n" * 400 + "// comment\n\n" * 30,
    "src/pool/reasoned.rs": "//! A.\n// Reason for length: one table.\n" + "static A: u8 = 1;\n" * 500,
    "src/pool/tested.rs": "//! A.\n" + "static A: u8 = 1;\n" * 400 + "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
    "src/pool/function.rs": long_function(70),
    "src/pool/function_reasoned.rs": long_function(90, "// Reason for length: one table.\n#[test]\n"),
}
