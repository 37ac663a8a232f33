"""The bugs that scripts/plant plants. A table, and nothing else.

name: (the model that must fail, what would go wrong, file, text, text with the bug)

The text has to be in the file once. The list is also in docs/orderings.md, which scripts/orderings keeps in
step with this one.
"""

BUGS = {
    # Limits against dials.
    "permit-by-a-look-and-an-add": (
        "limit_lowered_while_a_permit_is_claimed", "more are opened than a lowered limit allows",
        "src/engine/capacity.rs",
        "        self.update(CapacityWord::with_one_more).is_some()\n",
        "        let free = self.peek().free() > 0;\n"
        "        if free {\n            self.0.fetch_add(CapacityWord::ONE, Ordering::SeqCst);\n        }\n"
        "        free\n"),
    "raised-limit-is-no-put": (
        "raised_limit_reaches_who_waits", "a limit is raised and whoever waits for a permit sleeps on",
        "src/engine/control.rs",
        "        let mut wakes = Wakes::default();\n        self.grant(&mut wakes);\n        wakes\n    }\n\n    /// The highest limit",
        "        Wakes::default()\n    }\n\n    /// The highest limit"),
    "gate-set-once": (
        "limit_lowered_while_one_is_retired_leaves_the_gate_right", "every release is slow for good",
        "src/engine/control.rs",
        "                self.gate.clear(GateWord::INSPECT)\n            };\n",
        "                self.gate.clear(GateWord::INSPECT)\n            };\n            return;\n"),
    "limit-by-a-plain-store": (
        "limit_set_during_a_close_opens_nothing", "a new limit is stored over a close, and dials are made again",
        "src/engine/capacity.rs",
        "        self.update(|word| Some(word.with_limit(limit)))\n            .unwrap_or_else(|| self.peek())\n",
        "        let word = self.peek();\n        self.0.store(word.with_limit(limit).0, Ordering::SeqCst);\n        word\n"),
    # Soft eviction.
    "only-idle-ones-evicted": (
        "eviction_against_acquire", "what is out while its generation ends comes back as one of the new",
        "src/engine/control.rs",
        "        self.tenants()\n"
        "            .filter(|tenant| is_older(tenant.slot.generation(), generation))\n"
        "            .for_each(|tenant| _ = tenant.doom());\n",
        "        self.sweep_all(|lease| {\n            lease.doom();\n            Some(lease)\n        });\n"),
    "doom-whoever-lives-there": (
        "eviction_against_replacement", "a mark meant for one connection hits the one that took its slot",
        "src/engine/slot.rs",
        "                (word & !(DOOMED | NOTED) == tenancy.0).then_some(word | DOOMED)\n",
        "                (word & tenancy.0 & OPEN != 0).then_some(word | DOOMED)\n"),
    "opened-for-the-old-generation": (
        "eviction_against_replacement", "what was dialled before an eviction passes for one of the new generation",
        "src/engine/body.rs",
        "        if lease.body().generation() != generation {\n",
        "        if false {\n"),
    "note-over-a-doom": (
        "a_note_and_a_doom_lose_neither", "a note taken of a lease wipes out the doom that comes beside it",
        "src/engine/slot.rs",
        "            self.tenancy.fetch_and(!NOTED, Ordering::Relaxed);\n",
        "            let word = self.tenancy.load(Ordering::Relaxed);\n"
        "            self.tenancy.store(word & !NOTED, Ordering::Relaxed);\n"),
    # Reaping.
    "put-aside-without-a-look": (
        "look_at_the_only_idle_one_against_acquire", "a caller sleeps beside what maintenance had in its hands",
        "src/engine/control.rs",
        "            self.idle.put_aside(lease.into_id());\n            self.settle();\n",
        "            self.idle.put_aside(lease.into_id());\n"),
    "reaped-into-a-closed-pool": (
        "reap_against_acquire_against_close", "what a sweep had in its hands stays open in a closed pool",
        "src/engine/put.rs",
        "        gate.has(GateWord::CLOSED)\n            || gate.is_served()\n            ||",
        "        gate.is_served()\n            ||"),
    "reaped-permit-is-no-put": (
        "reap_against_acquire", "an idle connection is reaped, and whoever had hoped for it sleeps on",
        "src/engine/permit.rs",
        "        body.grant(&mut wakes);\n", ""),
    # The line.
    "hand-off-lost-with-its-waiter": (
        "expiry_against_hand_off", "a connection handed to a waiter that gives up is lost",
        "src/engine/wait.rs",
        "            // Handed over, never seen by the caller: put, not returned.\n            lease.put();\n",
        "            std::mem::forget(lease);\n"),
    "rouse-without-a-fence": (
        "last_tick_rouses_whoever_counts_on_the_next", "a waiter counts on a clock that has stopped",
        "src/engine/line.rs",
        "        fence(SeqCst);\n        if !self.gate.after_publish().has(GateWord::LINE) {\n",
        "        if !self.gate.after_publish().has(GateWord::LINE) {\n"),
    "put-without-a-fence": (
        "put_and_wait_never_miss_each_other", "waiter and releaser both miss each other",
        "src/engine/idle.rs",
        "        if put {\n            fence_after_rmw();\n        }\n", ""),
    "far-put-without-a-fence": (
        "put_afar_and_wait_never_miss_each_other", "the same where all threads put to one stack",
        "src/engine/idle.rs",
        "        fence(Ordering::SeqCst);\n    }\n\n    /// Takes the id that is next in the shared part",
        "    }\n\n    /// Takes the id that is next in the shared part"),
    "wait-without-a-fence": (
        "put_and_wait_never_miss_each_other", "a waiter's second look is older than its place in the gate",
        "src/engine/wait.rs",
        "        fence(Ordering::SeqCst);\n        Ok(())\n", "        Ok(())\n"),
    "line-ends-with-each-who-leaves": (
        "line_of_two_is_served_by_two_puts", "one leaves the line, and the gate says that nobody is in it",
        "src/engine/line.rs",
        "            (true, false) => self.gate.lower(),\n",
        "            (true, _) if list.len() < before => self.gate.lower(),\n"),
    "overdue-one-not-told": (
        "overdue_waiter_behind_a_newer_one_is_told_of_what_is_left", "an overdue waiter sleeps beside an idle one",
        "src/engine/line.rs",
        "        self.refresh_strict(&list);\n",
        "        if self.refresh_strict(&list) {\n            drop(list);\n            return (result, wakes);\n        }\n"),
    "freed-permit-is-no-put": (
        "freed_permit_wakes_a_sleeping_waiter", "a permit is free, and the one in line never hears of it",
        "src/engine/permit.rs",
        "        body.grant(&mut wakes);\n", ""),
    # The end of a pool.
    "body-freed-under-a-release": (
        "hand_off_outlives_the_receiver", "a release looks at memory that is freed",
        "src/engine/hazard.rs",
        "    for record in RECORDS.iter() {\n        let mut round",
        "    for record in RECORDS.iter().take(0) {\n        let mut round"),
    "slot-keeps-its-reference": (
        "drop_of_the_pool_against_the_watcher", "the last connection is retired and the pool is never freed",
        "src/engine/slot.rs",
        "        let owner = self.owner.with_mut(|cell| unsafe { (*cell).take() });\n",
        "        let owner = self.owner.with_mut(|cell| unsafe { (*cell).clone() });\n"),
    "last-handle-looks-and-leaves": (
        "last_two_handles_close_the_pool_once", "two handles go at once, and each leaves the close to the other",
        "src/engine/handle.rs",
        "        if self.body.handles.fetch_sub(1, Ordering::AcqRel) == 1 {\n",
        "        let last = self.body.handles.load(Ordering::Acquire) == 1;\n"
        "        self.body.handles.fetch_sub(1, Ordering::AcqRel);\n        if last {\n"),
    # The watcher of idle connections.
    "alarm-for-whoever-lives-there": (
        "late_alarm_dooms_nobody_new", "a late alarm retires a connection that is well",
        "src/engine/stay.rs",
        "        self.slots[stay.id.index()].doom(stay.tenancy)\n",
        "        let slot = &self.slots[stay.id.index()];\n        slot.doom(slot.tenancy())\n"),
    "answer-taken-for-an-alarm": (
        "answer_to_a_taker_is_no_alarm", "a taker's own answer is taken for bytes that nobody asked for",
        "src/engine/stay.rs",
        "        slot.uses() == stay.uses && slot.tenant().is_some_and(is_same)\n",
        "        slot.tenant().is_some_and(is_same)\n"),
    "watch-ended-by-number": (
        "watch_anew_against_an_event_of_the_old_watch", "the end of an old watch ends the new one of that number",
        "src/watch/roster.rs",
        "        let watch = self.watches.get(&mark.fd)?;\n        if watch.serial != mark.serial {\n            return None;\n        }\n",
        "        let watch = self.watches.get(&mark.fd)?;\n"),
    "event-found-by-number": (
        "retire_and_reuse_against_a_late_event", "an event raises the alarm of the next user of the number",
        "src/watch/roster.rs",
        "        (watch.serial == mark.serial).then(|| watch.alarm.clone())\n",
        "        Some(watch.alarm.clone())\n"),
    # Permits shared by the pools of many keys.
    "release-without-a-look-at-the-pressure": (
        "release_elsewhere_passes_its_permit_on", "a key's waiter sleeps beside another key's idle connection",
        "src/engine/put.rs",
        "        gate.has(GateWord::KEYED) && commons.is_some_and(|commons| commons.is_pressed())\n",
        "        gate.has(GateWord::KEYED) && commons.is_some_and(|_| false)\n"),
    "freed-permit-not-promised": (
        "freed_permit_reaches_the_pool_that_starves", "a permit comes back and is kept for nobody",
        "src/engine/commons.rs",
        "        roll.promise_free();\n        let wanted",
        "        let wanted"),
    "wait-ends-without-tending": (
        "permit_of_a_waiter_that_leaves_goes_to_the_next_pool", "a permit is announced to a waiter that leaves",
        "src/engine/line.rs",
        "            commons.tend(&mut wakes);\n            // What was left idle for a line that is gone.\n"
        "            self.settle_into(&mut wakes);\n        }\n        self.settle_promise_into(&mut wakes);\n",
        "        }\n"),
    "starving-without-evicting": (
        "eviction_and_acquire_never_share_a_connection", "a key starves beside idle connections of others",
        "src/engine/commons.rs",
        "        fence(SeqCst);\n        self.evict(body.host().now());\n        false\n",
        "        fence(SeqCst);\n        false\n"),
    "collected-with-a-connection": (
        "collected_pool_opens_nothing", "a key's pool is collected while a dial for it begins",
        "src/engine/capacity.rs",
        "            (word.open() == 0).then_some(CapacityWord(word.0 | CapacityWord::CLOSED))\n",
        "            Some(CapacityWord(word.0 | CapacityWord::CLOSED))\n"),
    "left-for-a-line-that-is-gone": (
        "what_is_left_for_a_line_that_is_gone_goes_to_the_pool_that_starves",
        "a key starves beside a connection that another key's last waiter left behind",
        "src/engine/put.rs",
        "            !self.refresh_strict(list) && list.nudge_head(wakes)\n",
        "            list.nudge_head(wakes);\n            !self.refresh_strict(list)\n"),
    "own-permit-freed-first": (
        "permit_given_back_evicts_nobody", "another key's connection is retired for a permit that is there already",
        "src/engine/permit.rs",
        "        if let Some(commons) = &body.commons {\n            commons.give_back();\n        }\n"
        "        let after = body.capacity.give_back();\n",
        "        let after = body.capacity.give_back();\n"
        "        if let Some(commons) = &body.commons {\n            commons.give_back();\n        }\n"),
    "overtaken-under-pressure": (
        "nobody_overtakes_who_is_waited_for_elsewhere", "a key waits for another key's caller that is overtaken for ever",
        "src/engine/put.rs",
        "        self.is_strict(gate) || self.is_pressed(gate)\n",
        "        self.is_strict(gate)\n"),
    "barren-though-something-was-left": (
        "second_pool_that_starves_finds_what_was_kept", "a key that starves looks for nothing, though another kept one",
        "src/engine/commons.rs",
        "        self.barren = self.barren.filter(|_| wanted);\n", ""),
    "promise-outlives-the-limit": (
        "promise_of_a_higher_limit_opens_nothing", "a permit promised before the limit was lowered is taken above it",
        "src/engine/commons.rs",
        "            let may = if promised {\n                roll.open < roll.limit\n",
        "            let may = if promised {\n                true\n"),
    "suspended-line-served": (
        "suspended_pool_gives_up_and_hands_nothing_out", "a suspended key's line is served with what comes back",
        "src/engine/put.rs",
        "            } else if !gate.is_served() {\n",
        "            } else if !gate.has(GateWord::LINE) {\n"),
    "suspended-line-written-down": (
        "suspended_pool_misses_nothing", "others retire what they have for a key that would not use it",
        "src/engine/commons.rs",
        "            if standing == standing::NONE && body.gate().is_served() {\n",
        "            if standing == standing::NONE {\n"),
}
