//! The routes: what they answer, and what they refuse.

use super::{append, consumer, durable, ephemeral, noted, post, served, topic};
use crate::sink::{Sink, status, until};

#[test]
fn what_cannot_be_registered_says_where_and_why() {
    let served = served();
    topic(&served, "a");
    let refused = |body: &str, code: &str, pointer: &str| {
        let answer = post(&served, "/consumers", body);
        assert_eq!(answer.code(), code, "{body}: {}", answer.text());
        if !pointer.is_empty() {
            assert_eq!(answer.json()["pointer"], *pointer, "{body}");
        }
    };
    refused("", "invalid-consumer", "/callback");
    refused("[1]", "invalid-consumer", "");
    refused("{\"callback\"", "malformed-body", "");
    refused("{\"callback\":7}", "invalid-consumer", "/callback");
    refused("{\"callback\":\"ftp://127.0.0.1/\"}", "invalid-consumer", "/callback");
    refused("{\"callback\":\"http://u:p@127.0.0.1/\"}", "invalid-consumer", "/callback");
    let with = |more: &str| format!("{{\"callback\":\"http://127.0.0.1:9/\",{more}}}");
    for (more, pointer) in [
        ("\"filtre\":\"TRUE\"", "/filtre"),
        ("\"topics\":[\"a\"]", "/topics"),
        ("\"topics\":{\"a\":1}", "/topics/a"),
        ("\"from\":\"yesterday\"", "/from"),
        ("\"from\":\"99\"", "/from"),
        ("\"format\":\"xml\"", "/format"),
        ("\"batch_size\":0", "/batch_size"),
        ("\"batch_size\":1001", "/batch_size"),
        ("\"batch_size\":1.5", "/batch_size"),
        ("\"format\":\"cloudevents\",\"batch_size\":2", "/batch_size"),
        ("\"ordering\":\"log\"", "/ordering"),
        ("\"retry\":7", "/retry"),
        ("\"retry\":{\"schedule\":[1]}", "/retry/schedule"),
        ("\"retry\":{\"schedule_ms\":[-1]}", "/retry/schedule_ms"),
        ("\"retry\":{\"timeout_ms\":0}", "/retry/timeout_ms"),
        ("\"secret\":\"geheim\"", "/secret"),
        ("\"headers\":{\"Host\":\"x\"}", "/headers/Host"),
        ("\"headers\":{\"webhook-id\":\"x\"}", "/headers/webhook-id"),
        ("\"headers\":{\"transfer-encoding\":\"chunked\"}", "/headers/transfer-encoding"),
        ("\"headers\":{\"x\":\"a\\r\\nb: c\"}", "/headers/x"),
        ("\"headers\":{\"a b\":\"c\"}", "/headers/a b"),
        ("\"headers\":{\"x\":\"1\",\"X\":\"2\"}", "/headers/X"),
        ("\"validate\":\"maybe\"", "/validate"),
    ] {
        refused(&with(more), "invalid-consumer", pointer);
    }
    refused(&with("\"filter\":\"type =\""), "invalid-filter", "");
    refused(&with("\"topics\":{\"a\":\"a-5\"}"), "event-not-found", "/topics/a");
    let answer = post(&served, "/consumers/register", "{\"callback\":\"http://127.0.0.1:9/\"}");
    assert_eq!(answer.json()["pointer"], "/topics");
    let answer =
        post(&served, "/consumers/register", &with("\"topics\":{\"a\":null},\"from\":\"1\""));
    assert_eq!(answer.json()["pointer"], "/from");
    assert_eq!(served.engine().head().get(), 1, "nothing was registered");
}

#[test]
fn nobody_is_told_a_secret_twice() {
    let (served, sink) = (served(), Sink::new());
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let more =
        format!(",\"secret\":\"{own}\",\"headers\":{{\"Authorization\":\"Bearer t0psecret\"}}");
    let (id, secret) = durable(&served, &sink.url(), &more);
    assert_eq!(secret, own);
    append(&served, "e1", "s", "");
    assert_eq!(sink.wait_for(1)[0].header("authorization"), "Bearer t0psecret");
    let rotated = post(&served, &format!("/consumers/{id}/secret/rotate"), "").json();
    let new = rotated["secret"].as_str().expect("a secret").to_owned();
    assert!(new.starts_with("whsec_") && new != own);
    let chosen = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    let rotate = |body: &str| post(&served, &format!("/consumers/{id}/secret/rotate"), body);
    assert_eq!(rotate("{\"secrets\":1}").code(), "invalid-consumer");
    assert_eq!(rotate("{\"secret\":\"whsec_QUJD\"}").code(), "invalid-consumer", "short");
    assert_eq!(rotate(&format!("{{\"secret\":\"{chosen}\"}}")).json()["secret"], chosen);
    until("all to sign", || {
        append(&served, &format!("e{}", served.engine().head()), "s", "");
        let last = sink.arrived().pop().expect("one");
        last.header("webhook-signature").split(' ').count() == 3
    });
    for path in [
        "/consumers".to_owned(),
        format!("/consumers/{id}"),
        "/events?system=true".to_owned(),
        "/metrics".to_owned(),
        "/health".to_owned(),
    ] {
        let text = served.send(&format!("GET {path}")).text();
        for secret in ["MfKQ9r8GKYqr", "t0psecret", &new[6..]] {
            assert!(!text.contains(secret), "{path}: {text}");
        }
    }
    assert_eq!(consumer(&served, &id)["headers"], serde_json::json!(["authorization"]));
    let names: Vec<_> = noted(&served, "annal.consumer.secret.rotated");
    assert_eq!(names[0], serde_json::json!({"consumerId": id}));
    // What was promised to sign for a day does.
    let refused = std::iter::repeat_with(|| rotate("")).take(8).find(|answer| answer.status != 200);
    let refused = refused.expect("there is an end to it");
    assert_eq!((refused.status, refused.code()), (429, "too-many-secrets".to_owned()));
    let wait = refused.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (86_000..=86_400).contains(&wait)), "{wait:?}");
}

#[test]
fn a_secret_that_is_lost_is_said() {
    let (served, sink) = (served(), Sink::new());
    let (id, _) = durable(&served, &sink.url(), "");
    let registers = served.engine().registers();
    registers.remove(&annal_engine::keys_register(&id)).expect("removed");
    let path = |action: &str| format!("/consumers/{id}/{action}");
    assert_eq!(post(&served, &path("test"), "").code(), "secret-lost");
    post(&served, &path("seek"), "{\"to\":\"latest\"}");
    until("it to be disabled", || consumer(&served, &id)["state"] == "disabled");
    assert_eq!(consumer(&served, &id)["last_error"], "its secret is lost; rotate it and resume");
    assert_eq!(post(&served, &path("resume"), "").code(), "secret-lost");
    append(&served, "e1", "s", "");
    assert_eq!(post(&served, &path("secret/rotate"), "").status, 200);
    assert_eq!(post(&served, &path("resume"), "").status, 200);
    assert_eq!(sink.wait_for(1)[0].ids(), ["e1"]);
    // Nothing goes out without the headers that it was registered with.
    let (id, _) = durable(&served, &sink.url(), ",\"headers\":{\"x-token\":\"t\"}");
    registers.remove(&annal_engine::keys_register(&id)).expect("removed");
    let rotated = post(&served, &format!("/consumers/{id}/secret/rotate"), "");
    assert_eq!(rotated.code(), "secret-lost");
    assert!(rotated.text().contains("register it again"), "{}", rotated.text());
}

#[test]
fn paused_resumed_moved_removed() {
    let (served, sink) = (served(), Sink::new());
    let (id, _) = durable(&served, &sink.url(), ",\"batch_size\":1");
    let path = |action: &str| format!("/consumers/{id}/{action}");
    append(&served, "e1", "s", "");
    sink.wait_for(1);
    let paused = post(&served, &path("pause"), "");
    assert_eq!((paused.status, &paused.json()["state"]), (200, &"paused".into()));
    post(&served, &path("pause"), "");
    assert_eq!(noted(&served, "annal.consumer.paused").len(), 1, "once is enough");
    append(&served, "e2", "s", "");
    append(&served, "e3", "s", "");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(sink.arrived().len(), 1);
    assert_eq!(consumer(&served, &id)["lag"], 2);
    assert_eq!(post(&served, &path("resume"), "").json()["state"], "active");
    assert_eq!(sink.wait_for(3)[2].ids(), ["e3"]);
    until("it to be done", || consumer(&served, &id)["lag"] == 0);
    post(&served, &path("pause"), "");
    let sought = post(&served, &path("seek"), "{\"to\":\"earliest\"}").json();
    assert_eq!((&sought["position"], &sought["lag"]), (&"0".into(), &3.into()), "as it is now");
    assert_eq!(post(&served, &path("resume"), "").status, 200);
    let again: Vec<_> = sink.wait_for(6)[3..].iter().flat_map(|arrived| arrived.ids()).collect();
    assert_eq!(again, ["e1", "e2", "e3"]);
    for wrong in [
        "",
        "{}",
        "{\"to\":\"now\"}",
        "{\"to\":\"99999\"}",
        "{\"to\":\"1\",\"x\":1}",
        "{\"to\":\"2999-01-01T00:00:00Z\"}",
    ] {
        assert_eq!(post(&served, &path("seek"), wrong).code(), "invalid-consumer", "{wrong}");
    }
    for action in ["pause", "resume", "test"] {
        let answer = post(&served, &path(action), "{\"for\":1}");
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-consumer"), "{action}");
        assert!(answer.text().contains("it takes none"), "{}", answer.text());
    }
    let tested = post(&served, &path("test"), "").json();
    assert_eq!((&tested["delivered"], &tested["status"]), (&true.into(), &200.into()));
    let test = sink.wait_for(7)[6].json();
    assert_eq!(test["events"][0]["type"], "annal.consumer.test");
    let all = served.send("GET /consumers").json();
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    assert_eq!(all[0]["consumerId"], *id);
    assert_eq!(served.send(&format!("DELETE /consumers/{id}")).status, 204);
    assert_eq!(served.send(&format!("GET /consumers/{id}")).code(), "consumer-not-found");
    assert_eq!(served.send(&format!("DELETE /consumers/{id}")).status, 404);
    for action in ["pause", "resume", "test", "seek", "secret/rotate", "dead-letters/redrive"] {
        assert_eq!(post(&served, &path(action), "").code(), "consumer-not-found", "{action}");
    }
    until("its registers to go", || served.engine().registers().names().is_empty());
    append(&served, "e4", "s", "");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(sink.arrived().len(), 7);
    assert_eq!(noted(&served, "annal.consumer.removed")[0]["reason"], "deleted");
}

#[test]
fn an_endpoint_is_asked_whether_it_wants_deliveries() {
    let served = served();
    let willing = Sink::that(|_, arrived| match arrived.method.as_str() {
        "OPTIONS" => Some((200, "webhook-allowed-origin: localhost\r\n".to_owned())),
        _ => status(200),
    });
    durable(&served, &willing.url(), ",\"validate\":\"required\"");
    let asked = &willing.arrived()[0];
    assert_eq!(asked.method, "OPTIONS");
    assert_eq!(asked.header("webhook-request-origin"), "localhost");
    let unwilling = Sink::that(|_, _| status(405));
    let body = |validate: &str| {
        format!("{{\"callback\":\"{}\",\"validate\":\"{validate}\"}}", unwilling.url())
    };
    let refused = post(&served, "/consumers", &body("required"));
    assert_eq!((refused.status, refused.code()), (400, "callback-not-validated".to_owned()));
    assert_eq!(post(&served, "/consumers", &body("optional")).status, 201);
    let foreign =
        Sink::that(|_, _| Some((200, "webhook-allowed-origin: other.example\r\n".to_owned())));
    let body = format!("{{\"callback\":\"{}\",\"validate\":\"optional\"}}", foreign.url());
    assert_eq!(post(&served, "/consumers", &body).code(), "callback-not-validated");
}

#[test]
fn there_are_only_so_many() {
    use annal_server::{CallbackRules, ServerOptions};
    let callbacks = CallbackRules { loopback: true, ..CallbackRules::default() };
    let options = ServerOptions { callbacks, consumers_max: 2, ..ServerOptions::default() };
    let served = crate::fixture::Served::with(options, annal_engine::EngineOptions::default());
    let sink = Sink::new();
    topic(&served, "a");
    let (first, _) = durable(&served, &sink.url(), "");
    ephemeral(&served, &sink.url(), "{\"a\":null}");
    let body = format!("{{\"callback\":\"{}\"}}", sink.url());
    let refused = post(&served, "/consumers", &body);
    assert_eq!((refused.status, refused.code()), (429, "too-many-consumers".to_owned()));
    served.send(&format!("DELETE /consumers/{first}"));
    assert_eq!(post(&served, "/consumers", &body).status, 201);
}
