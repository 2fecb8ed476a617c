//! What there is, and deletion: hidden at once, for good, and nothing else is.

use crate::fixture::Served;

fn seeded() -> Served {
    let served = Served::new();
    served.seed(9);
    served
}

fn ids(served: &Served, request: &str) -> Vec<String> {
    let page = served.send(request).json();
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn subjects_and_types_are_listed_in_parts() {
    let served = seeded();
    served.check(
        "GET /subjects?limit=2",
        "200\n\
         content-type: application/json\n\
         link: </subjects?limit=2&after=s%2F1>; rel=\"next\"\n\n\
         [{\"subject\":\"s/0\",\"events\":3,\"version\":3,\"first\":\"3\",\"last\":\"9\"},\
         {\"subject\":\"s/1\",\"events\":3,\"version\":3,\"first\":\"1\",\"last\":\"7\"}]",
    );
    served.check(
        "GET /subjects?limit=2&after=s%2F1",
        "200\n\
         content-type: application/json\n\n\
         [{\"subject\":\"s/2\",\"events\":3,\"version\":3,\"first\":\"2\",\"last\":\"8\"}]",
    );
    served.check(
        "GET /types?prefix=t.0",
        "200\n\
         content-type: application/json\n\n\
         [{\"type\":\"t.0\",\"events\":4,\"first\":\"2\",\"last\":\"8\"}]",
    );
    assert_eq!(served.send("GET /subjects?prefix=nothing").text(), "[]");
}

#[test]
fn what_is_deleted_is_hidden_from_every_read() {
    let served = seeded();
    served.check(
        "POST /subjects/delete?subject=s/1",
        "200\ncontent-type: application/json\n\n{\"status\":\"ok\",\"deleted\":3}",
    );
    let left = ["e2", "e3", "e5", "e6", "e8", "e9"];
    assert_eq!(ids(&served, "GET /events"), left);
    assert_eq!(ids(&served, "GET /events?subject=s&recursive=true"), left);
    assert_eq!(ids(&served, "GET /events?order=desc&limit=3"), ["e9", "e8", "e6"]);
    assert!(ids(&served, "GET /events?subject=s/1").is_empty());
    let lines = served.send("GET /events\naccept: application/x-ndjson").text();
    assert_eq!(lines.lines().count(), 6);
    for gone in ["/events/at/4", "/events/at/4/data", "/events/e4", "/events/get?id=4"] {
        let answer = served.send(&format!("GET {gone}"));
        assert_eq!((answer.status, answer.code().as_str()), (410, "event-deleted"), "{gone}");
    }
    let subjects = served.send("GET /subjects").json();
    assert_eq!(subjects.as_array().map(Vec::len), Some(2), "{subjects}");
    let types = served.send("GET /types").json();
    assert_eq!(types[1]["events"], 3, "t.1 has lost two of five: {types}");
    assert_eq!(types.as_array().map(Vec::len), Some(2), "the store's own type is not listed");
    // Deleting again finds nothing, and so is no event.
    let again = served.send("POST /subjects/delete?subject=s/1").json();
    assert_eq!(again["deleted"], 0);
    assert_eq!(served.send("GET /events").json()["head"], "10");
    let own = served.send("GET /events?system=true&after=9").json();
    assert_eq!(own["events"][0]["type"], "annal.subject.deleted");
    assert_eq!(own["events"][0]["data"], serde_json::json!({"subject":"s/1","recursive":false}));
}

#[test]
fn a_deletion_can_name_type_and_beginning() {
    let served = seeded();
    let deleted = |query: &str| {
        served.send(&format!("POST /subjects/delete?{query}")).json()["deleted"].clone()
    };
    assert_eq!(deleted("subject=s&recursive=true&type=t.1&from_id=7"), 2);
    assert_eq!(ids(&served, "GET /events?after=5"), ["e6", "e8"]);
    assert_eq!(deleted("subject=s/&recursive=true&from_id=6"), 2);
    assert_eq!(deleted("subject=s"), 0, "not recursive: no event has exactly this subject");
    assert_eq!(ids(&served, "GET /events?after=4"), ["e5"]);
    assert_eq!(served.send("POST /subjects/delete").code(), "invalid-parameter");
    let unknown = served.send("POST /subjects/delete?subject=s&id=4");
    assert_eq!(unknown.code(), "unknown-parameter");
    assert_eq!(served.send("GET /subjects/delete").status, 405);
}

#[test]
fn the_identity_and_the_version_stay_taken() {
    let served = seeded();
    served.send("POST /subjects/delete?subject=s/1");
    let again = crate::fixture::event(4);
    let request = format!("POST /events\ncontent-type: application/cloudevents+json\n\n{again}");
    let answer = served.send(&request);
    assert_eq!((answer.status, &answer.json()["duplicate"]), (200, &true.into()));
    assert_eq!(served.send("GET /events/e4").status, 410, "no resurrection");
    let conditional = |id: &str, precondition: &str| {
        served.send(&format!(
            "POST /events\ncontent-type: application/json\n\n{{\"events\":[{{\"source\":\"seed\",\
             \"type\":\"t\",\"id\":\"{id}\",\"subject\":\"s/1\"}}],\"preconditions\":[{precondition}]}}"
        ))
    };
    let subject = |is: &str| format!("{{\"subject\":\"s/1\",\"is\":{is}}}");
    let refused = conditional("n", &subject("\"exists\""));
    assert_eq!(refused.code(), "precondition-failed");
    assert_eq!(refused.json()["failed"][0]["actual"], serde_json::json!({"version": 3}));
    assert_eq!(conditional("n", "{\"present\":{\"subjects\":[\"s/1\"]}}").status, 409);
    let none = "{\"count\":{\"subjects\":[\"s/*\"]},\"op\":\"=\",\"n\":6}";
    let all = format!("{none},{},{}", subject("\"none\""), subject("\"version\",\"version\":3"));
    assert_eq!(conditional("n", &all).status, 201);
    let last = subject("\"last_event\",\"id\":\"n\"");
    assert_eq!(conditional("m", &last).status, 201);
}
