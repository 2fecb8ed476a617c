//! Full text and fields over HTTP: what is found, in which order, and that it is never stale.

use std::{fs, thread, time::Duration};

use annal_engine::{EngineOptions, SearchOptions};
use annal_server::ServerOptions;
use serde_json::{Value, json};

use crate::{
    client::Answer,
    fixture::{Served, searching},
};

const ISSUES: [(&str, &str); 5] = [
    (
        "1",
        r#"{"title":"Login broken","status":"open","priority":3,"created":"2021-03-01","labels":["auth","web"],"author":{"name":"Ada Lovelace"}}"#,
    ),
    (
        "2",
        r#"{"title":"Logout is slow","status":"closed","priority":1,"created":"2021-07-15","labels":["web"],"author":{"name":"Grace Hopper"}}"#,
    ),
    (
        "3",
        r#"{"title":"Log rotation","status":"open","priority":10,"created":"2022-01-01","text":"use after free in the <b>login</b> form","author":{"name":"Ada Lovelace"}}"#,
    ),
    (
        "4",
        r#"{"title":"free after use","status":"open","priority":2,"created":"2020-12-31","done":true}"#,
    ),
    ("5", r#"{"title":"Ελληνικά and 日本語","status":"open","priority":2.5}"#),
];

fn commit(id: &str, data: &str, time: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"c{id}-{time}\",\"source\":\"/app\",\"type\":\"json.commit\",\
         \"subject\":\"issue/{id}\",\"time\":\"{time}\",\
         \"data\":{{\"resource_id\":\"{id}\",\"resource_data\":{data}}}}}"
    )
}

fn post(served: &Served, events: &[String]) {
    let body = format!("[{}]", events.join(","));
    let answer = served
        .send(&format!("POST /events\ncontent-type: application/cloudevents-batch+json\n\n{body}"));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn issues() -> Served {
    let served = Served::searching();
    let commits = ISSUES.iter().enumerate();
    let commits: Vec<_> = commits
        .map(|(n, (id, data))| commit(id, data, &format!("2026-0{}-10T12:00:00Z", n / 2 + 1)))
        .collect();
    post(&served, &commits);
    served
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn ask(served: &Served, q: &str, more: &str) -> Answer {
    served.send(&format!("GET /query?q={}{more}", encoded(q)))
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let results = answer["results"].as_array().expect("results");
    results.iter().map(|result| result["id"].as_str().expect("an id").to_owned()).collect()
}

/// The issues that a query finds, in their order of number.
fn found(served: &Served, q: &str) -> String {
    let answer = ask(served, q, "");
    let mut ids = ids(&answer);
    assert_eq!(answer.json()["count"], ids.len(), "{q}");
    ids.sort();
    ids.iter().map(|id| id.trim_start_matches("issue-")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_result_says_what_it_is() {
    let served = issues();
    served.check(
        "GET /query?q=rotation&highlight=false&sort=_position",
        "200\n\
         content-type: application/json\n\n\
         {\"query\":\"rotation\",\"count\":1,\"results\":[{\"id\":\"issue-3\",\"doc_type\":\"issue\",\
         \"content\":\"{\\\"title\\\":\\\"Log rotation\\\",\\\"status\\\":\\\"open\\\",\
         \\\"priority\\\":10,\\\"created\\\":\\\"2022-01-01\\\",\
         \\\"text\\\":\\\"use after free in the <b>login</b> form\\\",\
         \\\"author\\\":{\\\"name\\\":\\\"Ada Lovelace\\\"}}\",\
         \"subject\":\"issue/3\",\"revision\":\"3\"}]}",
    );
    let best = ask(&served, "login", "&limit=1").json();
    let result = &best["results"][0];
    assert!(result["score"].as_f64().is_some_and(|score| score > 0.0), "{result}");
    assert_eq!((best["count"].as_u64(), &result["id"]), (Some(2), &json!("issue-1")));
    assert_eq!(result["highlight"], json!({"title":["<em>Login</em> broken"]}));
    let escaped = &ask(&served, "form", "").json()["results"][0]["highlight"]["text"];
    assert_eq!(escaped, &json!(["use after free in the &lt;b&gt;login&lt;/b&gt; <em>form</em>"]));
}

#[test]
fn the_language_is_spoken() {
    let served = issues();
    for (q, expected) in [
        ("login", "1 3"),
        ("LOGIN", "1 3"),
        ("title:login", "1"),
        ("login rotation", "1 3"),
        ("login AND rotation", "3"),
        ("open AND NOT login", "4 5"),
        ("(slow OR rotation) AND status:open", "3"),
        ("\"use after free\"", "3"),
        ("\"after use\"", "4"),
        ("log*", "1 2 3"),
        ("title:log*", "1 2 3"),
        ("author.name:ada", "1 3"),
        ("author.name:\"grace hopper\"", "2"),
        ("labels:web", "1 2"),
        ("priority:[2 TO 3]", "1 4 5"),
        ("priority:{2 TO 3}", "5"),
        ("priority:>=3", "1 3"),
        ("created:[2021-01-01 TO 2021-12-31]", "1 2"),
        ("created:<2021-01-01", "4"),
        ("status:[closed TO open]", "1 2 3 4 5"),
        ("done:true", "4"),
        ("subject:issue/2", "2"),
        ("subject:issue/*", "1 2 3 4 5"),
        ("type:issue AND status:closed", "2"),
        ("日本語", "5"),
        ("ελληνικά", "5"),
        ("labels:*", "1 2"),
        ("", "1 2 3 4 5"),
        ("nothing", ""),
    ] {
        assert_eq!(found(&served, q), expected, "{q}");
    }
    assert_eq!(ids(&ask(&served, "login rotation", "&operator=and")), ["issue-3"]);
    assert_eq!(ids(&ask(&served, "login rotation", "&operator=or")).len(), 2);
}

#[test]
fn pages_and_orders() {
    let served = issues();
    let first = ask(&served, "*", "&sort=-priority&limit=2");
    assert_eq!(ids(&first), ["issue-3", "issue-1"]);
    assert_eq!(first.json()["count"], 5, "the count is the total");
    assert_eq!(
        first.header("link"),
        Some("</query?q=%2A&sort=-priority&limit=2&offset=2>; rel=\"next\"")
    );
    assert_eq!(ids(&ask(&served, "*", "&sort=-priority&limit=2&offset=2")), ["issue-5", "issue-4"]);
    let last = ask(&served, "*", "&sort=-priority&limit=2&offset=4");
    assert_eq!((ids(&last), last.header("link")), (vec!["issue-2".to_owned()], None));
    let counted = ask(&served, "status:open", "&limit=0").json();
    assert_eq!((&counted["count"], &counted["results"]), (&json!(4), &json!([])));
    assert_eq!(ids(&ask(&served, "labels:*", "&sort=title")), ["issue-1", "issue-2"]);
    let by_time = ask(&served, "status:open", "&sort=_time");
    assert_eq!(
        ids(&by_time),
        ["issue-1", "issue-4", "issue-3", "issue-5"],
        "the newer of equals first"
    );
}

#[test]
fn facets_and_histograms_count() {
    let served = issues();
    let answer =
        ask(&served, "*", "&limit=0&facets=status,labels,done,nothing&histogram=month").json();
    assert_eq!(
        answer["facets"],
        json!({
            "status":[{"value":"open","count":4},{"value":"closed","count":1}],
            "labels":[{"value":"web","count":2},{"value":"auth","count":1}],
            "done":[{"value":true,"count":1}],
            "nothing":[],
        })
    );
    assert_eq!(
        answer["histogram"],
        json!([
            {"start":"2026-01-01T00:00:00Z","count":2},
            {"start":"2026-02-01T00:00:00Z","count":2},
            {"start":"2026-03-01T00:00:00Z","count":1},
        ])
    );
    let bounded = "&since=2026-02-01T00:00:00Z&until=2026-02-28T00:00:00Z";
    assert_eq!(ask(&served, "*", bounded).json()["count"], 2);
    assert_eq!(ask(&served, "*", "&type=issue").json()["count"], 5);
    assert_eq!(ask(&served, "*", "&type=task").json()["count"], 0);
}

#[test]
fn events_are_found_by_their_data_and_attributes() {
    let served = issues();
    post(
        &served,
        &[
            r#"{"specversion":"1.0","id":"a","source":"/shop","type":"order.placed","subject":"orders/1","time":"2024-05-01T00:00:00Z","data":{"customer":"login"}}"#.to_owned(),
            r#"{"specversion":"1.0","id":"b","source":"/shop","type":"note","datacontenttype":"text/plain","data":"a plain \"quoted\" sentence"}"#.to_owned(),
            r#"{"specversion":"1.0","id":"c","source":"/shop","type":"image","datacontenttype":"image/png","data_base64":"iVBORw=="}"#.to_owned(),
        ],
    );
    let login = ask(&served, "customer:login", "&in=events").json();
    let result = &login["results"][0];
    assert_eq!(
        (&result["id"], &result["doc_type"], &result["subject"], &result["position"]),
        (&json!("a"), &json!("order.placed"), &json!("orders/1"), &json!("6"))
    );
    assert_eq!(
        (&result["source"], &result["content"]),
        (&json!("/shop"), &json!("{\"customer\":\"login\"}"))
    );
    assert_eq!(ids(&ask(&served, "sentence", "&in=events")), ["b"]);
    let image = ask(&served, "type:image", "&in=events").json();
    assert_eq!(image["results"][0]["content"], Value::Null);
    assert_eq!(ask(&served, "login", "&in=events").json()["count"], 3, "commits are events too");
    assert_eq!(ask(&served, "login", "&in=all").json()["count"], 5);
    assert_eq!(ask(&served, "login", "").json()["count"], 2, "resources by default");
    assert_eq!(ask(&served, "source:/shop", "&in=events").json()["count"], 3);
    let year = ask(&served, "login", "&in=events&type=order.placed&histogram=year").json();
    assert_eq!(year["histogram"], json!([{"start":"2024-01-01T00:00:00Z","count":1}]));
}

#[test]
fn a_query_sees_every_append_before_it() {
    // A smaller number of what is tried a thousand times by hand.
    let served = Served::searching();
    thread::scope(|scope| {
        for client in 0..4 {
            let served = &served;
            scope.spawn(move || {
                let mut connection = served.client();
                for n in 0..15 {
                    let word = format!("w{client}x{n}");
                    let put = connection.send(&format!(
                        "PUT /resources/note/{client}\ncontent-type: application/json\n\n\
                         {{\"text\":\"{word}\"}}"
                    ));
                    assert!(put.status < 300, "{}", put.text());
                    let asked = connection.send(&format!("GET /query?q={word}"));
                    assert_eq!(ids(&asked), [format!("note-{client}")], "{word}");
                    if n > 0 {
                        let before = format!("w{client}x{}", n - 1);
                        let asked = connection.send(&format!("GET /query?q={before}"));
                        assert_eq!(asked.json()["count"], 0, "{before} was replaced");
                    }
                }
            });
        }
    });
    let events = ask(&served, "text:*", "&in=resources").json();
    assert_eq!(events["count"], 4);
}

#[test]
fn what_is_deleted_vanishes_at_once() {
    let served = issues();
    assert_eq!(served.send("DELETE /resources/issue/3").status, 204);
    assert_eq!(found(&served, "login"), "1");
    assert_eq!(served.send("POST /subjects/delete?subject=issue/1").status, 200);
    assert_eq!(found(&served, "login"), "");
    let events = ask(&served, "login", "&in=events").json();
    assert_eq!(events["count"], 1, "the commit of issue 3 is there, that of issue 1 is not");
    // A resource goes back to what is left of it.
    served.send("PATCH /resources/issue/4\ncontent-type: application/merge-patch+json\n\n{\"title\":\"zebra\"}");
    assert_eq!(found(&served, "zebra"), "4");
    let position = served.engine().head();
    let path = format!("POST /subjects/delete?subject=issue/4&from_id={position}");
    assert_eq!(served.send(&path).status, 200);
    assert_eq!(
        (found(&served, "zebra"), found(&served, "\"free after use\"")),
        (String::new(), "4".to_owned())
    );
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_place() {
    let served = issues();
    let broken = ask(&served, "title:(login", "");
    assert_eq!((broken.status, broken.code().as_str()), (400, "invalid-query"));
    let broken = broken.json();
    assert_eq!((&broken["position"], &broken["parameter"]), (&json!(6), &json!("q")));
    let fuzzy = ask(&served, "login~1", "");
    assert_eq!((fuzzy.code().as_str(), &fuzzy.json()["position"]), ("invalid-query", &json!(5)));
    let count = |q: &str| ask(&served, q, "").json()["count"].clone();
    assert_eq!(count("login^2"), count("login"), "a weight leaves nothing out");
    assert_ne!(count("login"), json!(0));
    for (path, parameter) in [
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("offset=10000", "offset"),
        ("in=everything", "in"),
        ("operator=xor", "operator"),
        ("sort=-", "sort"),
        ("sort=n:desc", "sort"),
        ("sort=title,-n", "sort"),
        ("facets=a,,b", "facets"),
        ("facets=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21", "facets"),
        ("histogram=week", "histogram"),
        ("since=yesterday", "since"),
        ("highlight=perhaps", "highlight"),
    ] {
        let refused = served.send(&format!("GET /query?q=login&{path}"));
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid-parameter"), "{path}");
        assert_eq!(refused.json()["parameter"], parameter);
    }
    for (path, expected) in [
        ("/query?limit=x", "`limit` is a whole number from 0 to 1000"),
        ("/query?limit=1001", "`limit` is a whole number from 0 to 1000"),
        ("/query?offset=-1", "`offset` is a whole number from 0 to 10000"),
        (
            "/resources?offset=1e3",
            "`offset` is a whole number from 0 to 100000; deep lists go on with `after`",
        ),
        ("/events?limit=99999999999999999999", "`limit` is a whole number from 1 to 10000"),
        (
            "/events?after=x",
            "`after`: a position is a decimal number from 0 to 18446744073709551615",
        ),
    ] {
        let refused = served.send(&format!("GET {path}")).json();
        assert_eq!(refused["detail"], expected, "{path}");
    }
    assert_eq!(served.send("GET /query?query=login").code(), "unknown-parameter");
    assert_eq!(served.send("POST /query").status, 405);
}

#[test]
fn search_can_be_switched_off_whole_or_for_events() {
    let off = Served::new();
    let refused = off.send("GET /query?q=login");
    assert_eq!((refused.status, refused.code().as_str()), (422, "search-not-available"));
    let search =
        SearchOptions { events: false, writer_bytes: 15_000_000, ..SearchOptions::default() };
    let options = EngineOptions { search: Some(search), ..EngineOptions::default() };
    let served = issues().restarted(&[], options);
    until_following(&served);
    assert_eq!(found(&served, "login"), "1 3");
    let refused = ask(&served, "login", "&in=events");
    assert_eq!((refused.status, refused.code().as_str()), (422, "search-not-available"));
}

fn until_following(served: &Served) {
    for _ in 0..1_000 {
        let ready = served.send("GET /health/ready").json();
        if ready["search"]["state"] == "following" {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("search does not follow");
}

#[test]
fn an_index_that_is_lost_or_damaged_is_built_again() {
    let served = issues();
    served.seed(20_000);
    let asked = |served: &Served| {
        ["login", "log*", "\"use after free\""].map(|q| {
            let answer = ask(served, q, "&facets=status&histogram=day&sort=title&in=all").json();
            assert!(answer["count"].as_u64().is_some_and(|count| count > 0), "{answer}");
            answer
        })
    };
    let answers = asked(&served);
    let served = served.restarted(&[], searching());
    assert_eq!(asked(&served), answers, "kept");

    let index = served.dir.path().join("search_index");
    fs::remove_dir_all(&index).expect("removed");
    let served = served.restarted(&[], searching());
    let refused = ask(&served, "login", "");
    assert_eq!((refused.status, refused.code().as_str()), (503, "rebuilding"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(refused.json()["head"], "20005");
    let ready = served.send("GET /health/ready");
    assert_eq!((ready.status, &ready.json()["search"]["state"]), (200, &json!("rebuilding")));
    assert_eq!(served.send("GET /resources/issue/1").status, 200, "everything else is served");
    until_following(&served);
    assert_eq!(asked(&served), answers, "built anew");

    let index = served.dir.path().join("search_index");
    let damage = || {
        for entry in fs::read_dir(&index).expect("the index").map(|entry| entry.expect("a file")) {
            if entry.path().extension().is_some_and(|extension| extension == "term") {
                let mut bytes = fs::read(entry.path()).expect("a file");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(entry.path(), bytes).expect("written");
            }
        }
    };
    served.engine().shutdown();
    damage();
    let served = served.restarted(&[], searching());
    until_following(&served);
    assert_eq!(asked(&served), answers, "mended");
}

#[test]
fn a_query_that_would_wait_too_long_says_how_far_search_is() {
    let options = ServerOptions { search_wait_max: Duration::ZERO, ..ServerOptions::default() };
    let served = Served::with(options, searching());
    let mut lagged = 0;
    for n in 0..20 {
        served.seed(n + 1);
        let asked = ask(&served, "n:1", "&in=events");
        if asked.status != 503 {
            continue;
        }
        let code = asked.code();
        // Without patience there is no waiting for a turn either.
        assert!(code == "search-lag" || code == "busy", "{code}");
        if code == "search-lag" {
            assert!(asked.json()["lag"].as_u64().is_some_and(|lag| lag > 0), "{}", asked.text());
            assert_eq!(asked.header("retry-after"), Some("1"));
            lagged += 1;
        }
    }
    assert!(lagged > 0, "it never lagged");
}
