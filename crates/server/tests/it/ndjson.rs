//! NDJSON: line by line, of any length.

use std::{thread, time::Duration};

use crate::fixture::{Served, event};

const POST: &str = "POST /events\ncontent-type: application/x-ndjson";

fn lines(range: impl Iterator<Item = usize>) -> String {
    range.map(|n| event(n) + "\n").collect()
}

#[test]
fn every_line_is_stored_once() {
    let served = Served::new();
    let body = lines(1..=2_500);
    served.check(
        &format!("{POST}\n\n{body}"),
        "200\ncontent-type: application/json\n\n\
         {\"received\":2500,\"stored\":2500,\"duplicates\":0,\"head\":\"2500\"}",
    );
    let again = format!("\r\n{}{}", lines(2_499..=2_500), event(2_501));
    served.check(
        &format!("{POST}\n\n{again}"),
        "200\ncontent-type: application/json\n\n\
         {\"received\":3,\"stored\":1,\"duplicates\":2,\"head\":\"2501\"}",
    );
    assert_eq!(served.send("GET /events/at/2500").json()["id"], "e2500");
}

#[test]
fn a_bad_line_ends_it_and_what_stands_before_stays() {
    let served = Served::new();
    let body = format!("{}\n{{\"source\":1}}\n{}", lines(1..=1_200), lines(1_201..=1_300));
    let refused = served.send(&format!("{POST}\n\n{body}"));
    assert_eq!(refused.code(), "invalid-event");
    let problem = refused.json();
    assert_eq!(
        (&problem["line"], &problem["stored"], &problem["duplicates"]),
        (&1202.into(), &1200.into(), &0.into()),
        "{problem}"
    );
    assert_eq!(served.engine().head().0, 1_200);
}

#[test]
fn a_conflict_is_told_by_its_line() {
    let served = Served::new();
    served.seed(3);
    let other = event(2).replace("\"n\":2", "\"n\":7");
    let body = format!("{}{}{other}\n{}", lines(1..=1), lines(4..=5), lines(6..=7));
    let refused = served.send(&format!("{POST}\n\n{body}"));
    assert_eq!((refused.status, refused.code().as_str()), (409, "identity-conflict"));
    let problem = refused.json();
    assert_eq!(
        (&problem["line"], &problem["stored"], &problem["duplicates"]),
        (&4.into(), &2.into(), &1.into()),
        "{problem}"
    );
    assert_eq!(served.engine().head().0, 5, "what stands before the line is stored");
}

#[test]
fn a_pause_commits_what_has_come() {
    let served = Served::new();
    let mut client = served.client();
    client.write(b"POST /events HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-ndjson\r\n");
    client.write(b"transfer-encoding: chunked\r\n\r\n");
    let line = event(1) + "\n" + &event(2)[..10];
    client.write(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes());
    for _ in 0..200 {
        if served.engine().head().0 == 1 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(served.engine().head().0, 1, "the first line is committed while the second comes");
    let rest = &event(2)[10..];
    client.write(format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()).as_bytes());
    assert_eq!(client.answer(false).json()["stored"], 2);
}
