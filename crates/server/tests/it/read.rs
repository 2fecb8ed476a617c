//! Pages, single events, exports.

use std::io::Read;

use crate::fixture::Served;

fn positions(page: &serde_json::Value) -> Vec<u64> {
    let events = page["events"].as_array().or_else(|| page.as_array()).expect("events");
    let position = |event: &serde_json::Value| event["position"].as_str().map(str::parse);
    events.iter().map(|event| position(event).expect("a position").expect("digits")).collect()
}

#[test]
fn pages_follow_one_another() {
    let served = Served::new();
    served.seed(10);
    let first = served.send("GET /events?limit=4&type=t.1");
    assert_eq!(positions(&first.json()), [1, 3, 5, 7]);
    assert_eq!(first.json()["next"], "7");
    assert_eq!((&first.json()["has_more"], &first.json()["head"]), (&true.into(), &"10".into()));
    assert_eq!(first.header("link"), Some("</events?limit=4&type=t.1&after=7>; rel=\"next\""));
    let last = served.send("GET /events?limit=4&type=t.1&after=7");
    assert_eq!(positions(&last.json()), [9]);
    assert_eq!((&last.json()["next"], last.header("link")), (&serde_json::Value::Null, None));
    let newest = served.send("GET /events?order=desc&limit=3&before=9");
    assert_eq!(positions(&newest.json()), [8, 7, 6]);
    assert_eq!(newest.header("link"), Some("</events?order=desc&limit=3&before=6>; rel=\"next\""));
    assert_eq!(positions(&served.send("GET /events/historic?limit=2").json()), [1, 2]);
    assert_eq!(positions(&served.send("GET /tenants/default/events?after=8").json()), [9, 10]);
    assert_eq!(served.send("GET /events?after=99").json()["events"], serde_json::json!([]));
}

#[test]
fn filters_select() {
    let served = Served::new();
    served.seed(9);
    let select = |query: &str| positions(&served.send(&format!("GET /events?{query}")).json());
    assert_eq!(select("subject=s/1"), [1, 4, 7]);
    assert_eq!(select("subject=s&recursive=true&limit=2"), [1, 2]);
    assert!(select("subject=s").is_empty());
    assert_eq!(select("subject=s/1&subject=s/2&type=t.0"), [2, 4, 8]);
    assert_eq!(select("type_prefix=t.&after=7"), [8, 9]);
    assert!(select("source=elsewhere").is_empty());
    assert_eq!(select("since=2000-01-01T00:00:00Z&until=2100-01-01T00:00:00Z&after=8"), [9]);
    assert!(select("until=2000-01-01T00:00:00Z").is_empty());
}

#[test]
fn one_event_by_position_and_by_id() {
    let served = Served::new();
    served.seed(3);
    let id = |request: &str| served.send(request).json()["id"].clone();
    assert_eq!(id("GET /events/at/2"), "e2");
    assert_eq!(id("GET /events/e3"), "e3");
    assert_eq!(id("GET /events/e3?source=seed"), "e3");
    assert_eq!(id("GET /events/get?id=1"), "e1");
    assert_eq!(id("GET /events/get?id=e1"), "e1");
    assert_eq!(served.send("GET /events/e3?source=other").code(), "event-not-found");
    assert_eq!(served.send("GET /events/at/4").code(), "event-not-found");
    assert_eq!(served.send("GET /events/at/0").code(), "event-not-found");
    assert_eq!(served.send("GET /events/get?id=1&source=seed").code(), "event-not-found");
    assert_eq!(served.send("GET /events/get").code(), "invalid-parameter");
    let odd = "POST /events\ncontent-type: application/json\n\n\
        {\"id\":\"at/%é\",\"source\":\"a\",\"type\":\"t\"}";
    assert_eq!(served.send(odd).status, 201);
    assert_eq!(id("GET /events/at%2F%25%C3%A9"), "at/%é");
}

#[test]
fn an_id_of_several_sources_has_candidates() {
    let served = Served::new();
    for source in ["a", "b"] {
        let request = format!(
            "POST /events\ncontent-type: application/json\n\n\
             {{\"id\":\"same\",\"source\":\"{source}\",\"type\":\"t\"}}"
        );
        assert_eq!(served.send(&request).status, 201);
    }
    served.check(
        "GET /events/same",
        "300\ncontent-type: application/json\n\n{\"candidates\":[\
         {\"id\":\"same\",\"source\":\"a\",\"position\":\"1\",\"href\":\"/events/at/1\"},\
         {\"id\":\"same\",\"source\":\"b\",\"position\":\"2\",\"href\":\"/events/at/2\"}]}",
    );
    assert_eq!(served.send("GET /events/same?source=b").json()["position"], "2");
}

#[test]
fn forms_by_accept() {
    let served = Served::new();
    served.seed(3);
    let get = |accept: &str| served.send(&format!("GET /events\naccept: {accept}"));
    let batch = get("application/cloudevents-batch+json");
    assert_eq!(positions(&batch.json()), [1, 2, 3]);
    assert_eq!(batch.header("content-type"), Some("application/cloudevents-batch+json"));
    let lines = get("application/x-ndjson;q=0.9, text/html");
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(lines.text().lines().count(), 3);
    assert_eq!(get("text/html").code(), "not-acceptable");
    assert_eq!(served.send("GET /events/at/1\naccept: text/html").code(), "not-acceptable");
}

#[test]
fn an_export_is_whole_and_compressed_when_asked_for() {
    let served = Served::new();
    served.seed(5_000);
    let export = |more: &str| {
        served.send(&format!("GET /events?after=10\naccept: application/x-ndjson{more}"))
    };
    let plain = export("");
    let text = plain.text();
    assert_eq!(text.lines().count(), 4_990);
    for (place, line) in text.lines().enumerate() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(event["position"], (place + 11).to_string());
    }
    let gzip = export("\naccept-encoding: gzip");
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut unzipped = String::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(&gzip.body[..]);
    decoder.read_to_string(&mut unzipped).expect("gzip");
    assert_eq!(unzipped, text);
    let zstd = export("\naccept-encoding: zstd");
    assert_eq!(zstd::decode_all(&zstd.body[..]).expect("zstd"), text.as_bytes());
    let limited = served.send("GET /events?limit=20000&order=desc\naccept: application/x-ndjson");
    assert_eq!(limited.text().lines().count(), 5_000);
    let page = served.send("GET /events?limit=100\naccept-encoding: zstd");
    assert_eq!(page.header("content-encoding"), Some("zstd"));
    assert!(zstd::decode_all(&page.body[..]).expect("zstd").starts_with(b"{\"events\":["));
}

#[test]
fn parameters_are_read_or_refused() {
    let served = Served::new();
    served.seed(1);
    let code = |query: &str| served.send(&format!("GET /events?{query}")).code();
    assert_eq!(code("colour=red&shape=round"), "unknown-parameter");
    let unknown = served.send("GET /events?colour=red&shape=round").json();
    assert_eq!(unknown["parameters"], serde_json::json!(["colour", "shape"]));
    for query in [
        "limit=0",
        "limit=10001",
        "limit=x",
        "after=-1",
        "after=1&after=2",
        "order=up",
        "since=yesterday",
        "recursive=true",
        "type=a&type_prefix=b",
        "subject=%ff",
        "system=maybe",
    ] {
        assert_eq!(code(query), "invalid-parameter", "{query}");
    }
    assert_eq!(code("filter=type%3D"), "invalid-filter");
    assert_eq!(served.send("GET /events/at/x").code(), "invalid-parameter");
    assert_eq!(served.send("GET /events/%ff").code(), "invalid-parameter");
}
