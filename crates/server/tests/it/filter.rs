//! `filter=`: CESQL over pages, exports and live streams.

use crate::{
    fixture::{Served, event},
    sse::EventSource,
};

fn ids(served: &Served, query: &str) -> Vec<String> {
    let page = served.send(&format!("GET /events?{query}")).json();
    let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_filter_lets_through_what_is_true() {
    let served = Served::new();
    served.seed(9);
    assert_eq!(ids(&served, "filter=type%3D't.1'%20AND%20subject%3D's/1'"), ["e1", "e7"]);
    assert_eq!(ids(&served, "filter=id%20IN%20('e2','e4')&filter=id%3D'e9'"), ["e2", "e4", "e9"]);
    assert_eq!(ids(&served, "filter=type%3D't.1'&subject=s/1&order=desc"), ["e7", "e1"]);
    assert_eq!(ids(&served, "filter=position%20%3E%207"), ["e8", "e9"]);
    assert!(ids(&served, "filter=missing%20%3D%20'a'").is_empty(), "a failure is no match");
    assert!(ids(&served, "filter=id").is_empty(), "another value is no match");
    let first = served.send("GET /events?limit=1&filter=subject%20LIKE%20's/%25'&type=t.0");
    assert_eq!((first.json()["next"].as_str(), first.json()["has_more"].as_bool()), {
        (Some("2"), Some(true))
    });
    let lines = served.send("GET /events?filter=type%3D't.1'\naccept: application/x-ndjson").text();
    assert_eq!(lines.lines().count(), 5);
}

#[test]
fn a_filter_that_does_not_parse_says_where() {
    let served = Served::new();
    for path in ["/events", "/events/stream"] {
        let problem = served.send(&format!("GET {path}?filter=type%20%3D%3D%20'a'"));
        assert_eq!((problem.status, problem.code().as_str()), (400, "invalid-filter"));
        assert_eq!(problem.json()["position"], 6, "{}", problem.text());
        assert_eq!(problem.json()["parameter"], "filter");
    }
    let deep = "(".repeat(10_000);
    assert_eq!(served.send(&format!("GET /events?filter={deep}")).code(), "invalid-filter");
}

#[test]
fn a_stream_of_several_filters_is_one_connection_with_several_subscriptions() {
    let served = Served::new();
    served.seed(4);
    let path = "/events/stream?filter=subject%3D's/1'&filter=id%20LIKE%20'%255'";
    let mut stream = EventSource::open(&served, path, "");
    let snapshot = stream.message();
    assert_eq!((snapshot.name.as_str(), snapshot.id.as_str()), ("snapshot", "4"));
    let seen = snapshot.json();
    assert_eq!((&seen[0]["id"], &seen[1]["id"], seen.get(2)), (&"e1".into(), &"e4".into(), None));
    for n in 5..=8 {
        let request = format!("POST /events\ncontent-type: application/json\n\n{}", event(n));
        assert_eq!(served.send(&request).status, 201);
    }
    for expected in ["5", "7"] {
        assert_eq!(stream.message().id, expected);
    }
}
