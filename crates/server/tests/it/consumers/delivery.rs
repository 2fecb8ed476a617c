//! What arrives, when, how often, and in which order.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use annal_event::base64;

use super::{append, consumer, durable, ephemeral, noted, post, served, topic};
use crate::sink::{Sink, status, until};

const FAST: &str = ",\"retry\":{\"schedule_ms\":[30,30,30,30,30,30,30,30,30],\"timeout_ms\":2000}";

#[test]
fn the_default_format_to_the_letter() {
    let (served, sink) = (served(), Sink::new());
    let body = format!("{{\"callback\":\"{}\",\"topics\":{{\"other\":null}}}}", sink.url());
    let unknown = post(&served, "/consumers/register", &body);
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "topic-not-found"));
    topic(&served, "user-events");
    topic(&served, "other");
    append(&served, "e1", "s", "user-events");
    append(&served, "e2", "s", "other");
    let id = ephemeral(&served, &sink.url(), "{\"user-events\":null}");
    let first = &sink.wait_for(1)[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/hook"));
    assert_eq!(first.header("content-type"), "application/json");
    assert!(first.header("user-agent").starts_with("annal/"));
    let expected = format!(
        "{{\"consumerId\":\"{id}\",\"events\":[{{\"id\":\"e1\",\"timestamp\":\
         \"2026-01-15T10:30:00Z\",\"type\":\"happened\",\"payload\":{{\"price\":0.10}}}}]}}"
    );
    assert_eq!(String::from_utf8_lossy(&first.body), expected);
    let begun = Instant::now();
    append(&served, "e3", "s", "user-events");
    let second = &sink.wait_for(2)[1];
    assert_eq!(second.ids(), ["e3"]);
    assert!(second.at - begun < Duration::from_millis(500), "{:?}", second.at - begun);
    until("it to have come to the head", || consumer(&served, &id)["lag"] == 0);
    let shown = consumer(&served, &id);
    assert_eq!(shown["durable"], false);
    assert_eq!(shown["topics"], serde_json::json!(["user-events"]));
    assert_eq!(shown["position"], served.engine().head().to_string());
    let after = "{\"user-events\":\"e1\",\"other\":\"e2\"}";
    let other = Sink::new();
    ephemeral(&served, &other.url(), after);
    assert_eq!(other.wait_for(1)[0].ids(), ["e3"]);
}

#[test]
fn three_attempts_with_one_name() {
    let served = served();
    let sink = Sink::that(|n, _| status(if n < 2 { 500 } else { 200 }));
    let (id, secret) = durable(&served, &sink.url(), FAST);
    append(&served, "e1", "s", "");
    let arrived = sink.wait_for(3);
    let name = arrived[0].header("webhook-id");
    assert!(!name.is_empty() && !name.contains('.'));
    assert!(arrived.iter().all(|attempt| attempt.header("webhook-id") == name));
    assert!(arrived.iter().all(|attempt| attempt.body == arrived[0].body));
    for attempt in &arrived {
        let key = base64::decode(secret.strip_prefix("whsec_").expect("a prefix")).expect("base64");
        assert_eq!(attempt.header("webhook-signature"), signature(&key, attempt));
    }
    for pair in arrived.windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited >= Duration::from_millis(23), "{waited:?}");
    }
    append(&served, "e2", "s", "");
    let fourth = &sink.wait_for(4)[3];
    assert_ne!(fourth.header("webhook-id"), name);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(sink.arrived().len(), 4, "nothing is sent again that has arrived");
    until("the error to be gone", || consumer(&served, &id)["last_error"].is_null());
}

/// By RFC 2104 on top of nothing but SHA-256.
fn signature(key: &[u8], attempt: &crate::sink::Arrived) -> String {
    let sha = |parts: &[&[u8]]| {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    };
    let padded = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let (id, time) = (attempt.header("webhook-id"), attempt.header("webhook-timestamp"));
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &attempt.body].concat();
    let inner = sha(&[&padded(0x36), &signed]);
    let mut text = b"v1,".to_vec();
    base64::encode(&sha(&[&padded(0x5C), &inner]), &mut text);
    String::from_utf8(text).expect("ASCII")
}

#[test]
fn each_subject_stays_in_order_under_retries() {
    // INV-5
    let served = served();
    let tries = Mutex::new(HashMap::<String, usize>::new());
    let sink = Sink::that(move |n, arrived| {
        let mut tries = tries.lock().expect("not poisoned");
        let tried = tries.entry(arrived.header("webhook-id").to_owned()).or_default();
        *tried += 1;
        // Every third fails at first, every seventh twice.
        let failures = if n % 7 == 0 { 2 } else { usize::from(n % 3 == 0) };
        status(if *tried <= failures { 503 } else { 200 })
    });
    for n in 0..60 {
        append(&served, &format!("e{n}"), &format!("s/{}", n % 5), "");
    }
    let more = format!(",\"from\":\"earliest\",\"batch_size\":1{FAST}");
    let (id, _) = durable(&served, &sink.url(), &more);
    until("all to arrive", || consumer(&served, &id)["lag"] == 0);
    let mut last = HashMap::<usize, usize>::new();
    let mut seen = HashMap::<String, usize>::new();
    for arrived in sink.arrived() {
        let ids = arrived.ids();
        let n: usize = ids[0][1..].parse().expect("a number");
        let last = last.entry(n % 5).or_insert(n);
        assert!(n >= *last, "{n} came after {last}");
        *last = n;
        *seen.entry(ids[0].clone()).or_default() += 1;
    }
    assert_eq!(seen.len(), 60);
    assert!(seen.values().all(|attempts| *attempts <= 3), "{seen:?}");
}

#[test]
fn an_endpoint_that_hangs_times_out_alone() {
    let served = served();
    let (hanging, quick) = (Sink::that(|_, _| None), Sink::new());
    let (stuck, _) =
        durable(&served, &hanging.url(), ",\"retry\":{\"schedule_ms\":[60000],\"timeout_ms\":300}");
    durable(&served, &quick.url(), "");
    for n in 0..20 {
        let begun = Instant::now();
        append(&served, &format!("e{n}"), "s", "");
        let all = || quick.arrived().iter().map(|arrived| arrived.ids().len()).sum::<usize>();
        until("the event to arrive", || all() > n);
        assert!(begun.elapsed() < Duration::from_millis(1_000), "{:?}", begun.elapsed());
    }
    until("the other to be given up", || {
        consumer(&served, &stuck)["last_error"] == "no answer within 300 ms"
    });
    assert!(consumer(&served, &stuck)["next_attempt"].is_string());
}

#[test]
fn redirects_are_not_followed() {
    // INV-6
    let served = served();
    let other = Sink::new();
    let to = other.url();
    let sink = Sink::that(move |_, _| Some((302, format!("location: {to}\r\n"))));
    let (id, _) = durable(&served, &sink.url(), FAST);
    append(&served, "e1", "s", "");
    sink.wait_for(3);
    let error = "the endpoint answered 302; redirects are not followed";
    until("the error", || consumer(&served, &id)["last_error"] == error);
    assert!(other.arrived().is_empty());
}

#[test]
fn gone_disables_until_somebody_resumes() {
    let served = served();
    let gone = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&gone);
    let sink = Sink::that(move |_, _| status(if told.load(SeqCst) { 410 } else { 200 }));
    let (id, _) = durable(&served, &sink.url(), FAST);
    append(&served, "e1", "s", "");
    until("it to be disabled", || consumer(&served, &id)["state"] == "disabled");
    append(&served, "e2", "s", "");
    thread::sleep(Duration::from_millis(150));
    assert_eq!(sink.arrived().len(), 1, "nothing more is sent");
    assert_eq!(noted(&served, "annal.consumer.disabled")[0]["consumerId"], *id);
    gone.store(false, SeqCst);
    assert_eq!(post(&served, &format!("/consumers/{id}/resume"), "").status, 200);
    until("the rest", || consumer(&served, &id)["lag"] == 0);
    let ids: Vec<_> = sink.arrived()[1..].iter().flat_map(|arrived| arrived.ids()).collect();
    assert_eq!(ids, ["e1", "e2"]);
}

#[test]
fn retry_after_is_obeyed() {
    let served = served();
    let sink = Sink::that(|n, _| match n {
        0 => Some((429, "retry-after: 1\r\n".to_owned())),
        _ => status(200),
    });
    durable(&served, &sink.url(), FAST);
    append(&served, "e1", "a", "");
    let first = sink.wait_for(1)[0].at;
    append(&served, "e2", "b", "");
    let arrived = sink.wait_for(3);
    for later in &arrived[1..] {
        assert!(later.at - first >= Duration::from_millis(990), "{:?}", later.at - first);
    }
}

#[test]
fn who_is_told_to_go_on_waits_no_longer() {
    let served = served();
    let sink = Sink::that(|n, _| match n {
        0 => Some((429, "retry-after: 99999999999999999999\r\n".to_owned())),
        _ => status(200),
    });
    let (id, _) = durable(&served, &sink.url(), FAST);
    append(&served, "e1", "a", "");
    sink.wait_for(1);
    let waits = |yes: bool| {
        until("it to say so", || consumer(&served, &id)["next_attempt"].is_string() == yes);
    };
    waits(true);
    append(&served, "e2", "b", "");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(sink.arrived().len(), 1, "the endpoint wants nothing for long");
    assert_eq!(post(&served, &format!("/consumers/{id}/resume"), "").status, 200);
    let arrived = sink.wait_for(3);
    let ids: BTreeSet<_> = arrived[1..].iter().flat_map(|arrived| arrived.ids()).collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["e1", "e2"]);
    waits(false);
}

#[test]
fn an_ephemeral_consumer_disappears_on_its_first_failure() {
    let served = served();
    topic(&served, "t");
    for (answer, reason) in [(500, "the endpoint answered 500"), (302, "redirects")] {
        let sink = Sink::that(move |_, _| status(answer));
        let id = ephemeral(&served, &sink.url(), "{\"t\":null}");
        append(&served, &format!("for-{answer}"), "s", "t");
        until("it to go", || served.send(&format!("GET /consumers/{id}")).status == 404);
        assert_eq!(sink.arrived().len(), 1);
        let removed = noted(&served, "annal.consumer.removed");
        let why = removed.iter().find(|data| data["consumerId"] == *id).expect("an event");
        assert!(why["reason"].as_str().is_some_and(|why| why.contains(reason)), "{why}");
    }
    let nobody = Sink::new();
    let url = nobody.url();
    drop(nobody);
    let id = ephemeral(&served, &url, "{\"t\":null}");
    until("it to go", || served.send(&format!("GET /consumers/{id}")).status == 404);
}

#[test]
fn what_is_given_up_can_be_delivered_after_all() {
    let served = served();
    let poison = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&poison);
    let sink = Sink::that(move |_, arrived| {
        let bad = arrived.ids().iter().any(|id| id.starts_with("bad"));
        status(if bad && told.load(SeqCst) { 422 } else { 200 })
    });
    let more = ",\"batch_size\":1,\"retry\":{\"schedule_ms\":[5,5]}";
    let (id, _) = durable(&served, &sink.url(), more);
    for event in ["bad-1", "good-1", "bad-2", "good-2"] {
        append(&served, event, "s", "");
    }
    let letters = || served.send(&format!("GET /consumers/{id}/dead-letters")).json();
    until("two dead letters", || letters().as_array().is_some_and(|all| all.len() == 2));
    until("the others", || consumer(&served, &id)["lag"] == 0);
    let first = &letters()[0];
    assert_eq!((&first["id"], &first["attempts"]), (&"bad-1".into(), &3.into()));
    assert_eq!((&first["status"], &first["position"]), (&422.into(), &"2".into()));
    assert_eq!(first["error"], "the endpoint answered 422");
    assert!(first["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    let page = served.send(&format!("GET /consumers/{id}/dead-letters?limit=1"));
    let next = page.header("link").expect("a link").to_owned();
    let next = next.trim_start_matches('<').split('>').next().expect("a target").to_owned();
    assert_eq!(served.send(&format!("GET {next}")).json()[0]["id"], "bad-2");
    let order: Vec<_> = sink.arrived().iter().flat_map(|arrived| arrived.ids()).collect();
    let expected = ["bad-1", "bad-1", "bad-1", "good-1", "bad-2", "bad-2", "bad-2", "good-2"];
    assert_eq!(order, expected, "one subject stays in order");
    poison.store(false, SeqCst);
    let redrive = format!("/consumers/{id}/dead-letters/redrive");
    assert_eq!(post(&served, &redrive, "{\"ids\":[\"bad-2\",\"x\"]}").text(), "{\"redriven\":1}");
    let arrived = sink.wait_for(9);
    assert_eq!(arrived[8].ids(), ["bad-2"]);
    assert_ne!(arrived[8].header("webhook-id"), arrived[6].header("webhook-id"));
    assert_eq!(letters().as_array().map(Vec::len), Some(1));
    assert_eq!(post(&served, &redrive, "").text(), "{\"redriven\":1}");
    assert_eq!(sink.wait_for(10)[9].ids(), ["bad-1"]);
    assert_eq!(post(&served, &redrive, "{}").text(), "{\"redriven\":0}");
    assert_eq!(letters(), serde_json::json!([]));
}

#[test]
fn a_subject_that_fails_holds_up_no_other_however_much_waits_behind_it() {
    const EVENTS: usize = 5_000;
    let served = served();
    let poison = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&poison);
    let sink = Sink::that(move |_, arrived| {
        let bad = arrived.ids().iter().any(|id| id.starts_with("bad"));
        status(if bad && told.load(SeqCst) { 500 } else { 200 })
    });
    let more = ",\"batch_size\":10,\"retry\":{\"schedule_ms\":[600000]}";
    let (id, _) = durable(&served, &sink.url(), more);
    append(&served, "bad-0", "bad", "");
    sink.wait_for(1);
    let event = |n: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"bad-{n}","source":"/s","type":"happened","subject":"bad"}}"#
        )
    };
    let events: Vec<_> = (1..=EVENTS).map(event).collect();
    let batch = format!(
        "POST /events\ncontent-type: application/cloudevents-batch+json\n\n[{}]",
        events.join(",")
    );
    assert_eq!(served.send(&batch).status, 201);
    append(&served, "good", "good", "");
    assert_eq!(sink.wait_for(2)[1].ids(), ["good"]);
    assert_eq!(consumer(&served, &id)["lag"], EVENTS + 2);
    poison.store(false, SeqCst);
    assert_eq!(post(&served, &format!("/consumers/{id}/resume"), "").status, 200);
    until("the rest", || consumer(&served, &id)["lag"] == 0);
    let bad: Vec<_> = sink.arrived()[2..].iter().flat_map(|arrived| arrived.ids()).collect();
    let expected: Vec<_> = (0..=EVENTS).map(|n| format!("bad-{n}")).collect();
    assert!(bad == expected, "in order, once");
}

#[test]
fn a_move_waits_for_what_is_on_its_way() {
    let served = served();
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let sink = Sink::that(move |_, _| {
        seen.fetch_max(under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        thread::sleep(Duration::from_millis(200));
        under_way.fetch_sub(1, SeqCst);
        status(200)
    });
    let (id, _) = durable(&served, &sink.url(), ",\"batch_size\":1");
    append(&served, "e1", "s", "");
    sink.wait_for(1);
    let sought = post(&served, &format!("/consumers/{id}/seek"), "{\"to\":\"earliest\"}");
    assert_eq!(sought.status, 200);
    assert_eq!(sink.wait_for(2)[1].ids(), ["e1"], "again, from the beginning");
    until("it to end", || consumer(&served, &id)["lag"] == 0);
    assert_eq!(most.load(SeqCst), 1, "one request of a subject at a time");
}

#[test]
fn what_is_redriven_survives_a_move() {
    for redriven_while_paused in [true, false] {
        let served = served();
        let poison = Arc::new(AtomicBool::new(true));
        let told = Arc::clone(&poison);
        let sink = Sink::that(move |_, _| status(if told.load(SeqCst) { 500 } else { 200 }));
        let (id, _) = durable(&served, &sink.url(), ",\"retry\":{\"schedule_ms\":[]}");
        append(&served, "e1", "s", "");
        let letters = || served.send(&format!("GET /consumers/{id}/dead-letters")).json();
        until("a dead letter", || letters().as_array().is_some_and(|all| all.len() == 1));
        let path = |action: &str| format!("/consumers/{id}/{action}");
        if redriven_while_paused {
            post(&served, &path("pause"), "");
            poison.store(false, SeqCst);
        }
        let redriven = post(&served, &path("dead-letters/redrive"), "").text();
        assert_eq!(redriven, "{\"redriven\":1}");
        if !redriven_while_paused {
            until("it to die again", || letters().as_array().is_some_and(|all| all.len() == 1));
            post(&served, &path("pause"), "");
            poison.store(false, SeqCst);
            post(&served, &path("dead-letters/redrive"), "");
        }
        append(&served, "e2", "s", "");
        post(&served, &path("seek"), "{\"to\":\"latest\"}");
        post(&served, &path("seek"), "{\"to\":\"latest\"}");
        let tried = sink.arrived().len();
        post(&served, &path("resume"), "");
        append(&served, "e3", "s", "");
        let ids = |count| -> Vec<String> {
            sink.wait_for(count)[tried..].iter().flat_map(|arrived| arrived.ids()).collect()
        };
        until("both", || ids(tried + 1).len() == 2);
        let mut ids = ids(tried + 1);
        ids.sort_unstable();
        assert_eq!(ids, ["e1", "e3"], "e2 was skipped");
        thread::sleep(Duration::from_millis(50));
        assert_eq!(letters(), serde_json::json!([]));
    }
}

#[test]
fn bytes_are_told_from_text() {
    let (served, sink) = (served(), Sink::new());
    durable(&served, &sink.url(), "");
    let bytes = "POST /events\ncontent-type: application/octet-stream\nce-specversion: 1.0\n\
                 ce-id: b\nce-source: /s\nce-type: t\n\nhello";
    assert_eq!(served.send(bytes).status, 201);
    let event = &sink.wait_for(1)[0].json()["events"][0];
    assert_eq!(
        (&event["payload"], &event["payload_encoding"]),
        (&"aGVsbG8=".into(), &"base64".into())
    );
}

#[test]
fn filters_and_formats() {
    let (served, sink) = (served(), Sink::new());
    let filter = ",\"filter\":\"subject LIKE 'yes%'\"";
    durable(&served, &sink.url(), &format!("{filter},\"format\":\"cloudevents\""));
    append(&served, "e1", "no", "");
    append(&served, "e2", "yes/1", "");
    let one = &sink.wait_for(1)[0];
    assert_eq!(one.header("content-type"), "application/cloudevents+json");
    assert_eq!((&one.json()["id"], &one.json()["subject"]), (&"e2".into(), &"yes/1".into()));
    assert_eq!(one.json()["specversion"], "1.0");
    let batches = Sink::new();
    let filter = ",\"from\":\"1\",\"filter\":[{\"not\":{\"prefix\":{\"subject\":\"no\"}}}]";
    let more = format!("{filter},\"format\":\"cloudevents-batch\"");
    durable(&served, &batches.url(), &more);
    let batch = &batches.wait_for(1)[0];
    assert_eq!(batch.header("content-type"), "application/cloudevents-batch+json");
    assert_eq!(batch.json().as_array().map(Vec::len), Some(1));
    assert_eq!(batch.json()[0]["id"], "e2");
}
