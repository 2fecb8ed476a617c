//! INV-6: where callbacks may not go, however they are written.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use annal_engine::EngineOptions;
use annal_server::{Addresses, CallbackRules, Resolve, ServerOptions};

use super::{append, consumer, durable, post, topic};
use crate::{
    fixture::Served,
    sink::{Sink, until},
};

/// A resolver that is told what to answer.
type Answers = dyn Fn(&str) -> Vec<&'static str> + Send + Sync;
struct Names(Box<Answers>);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> Addresses {
        let found: Vec<IpAddr> =
            (self.0)(host).iter().map(|text| text.parse().expect("an address")).collect();
        Box::pin(async move { io::Result::Ok(found) })
    }
}

fn resolving(
    callbacks: CallbackRules,
    names: impl Fn(&str) -> Vec<&'static str> + Send + Sync + 'static,
) -> Served {
    let resolver = Arc::new(Names(Box::new(names)));
    let options = ServerOptions { callbacks, resolver, ..ServerOptions::default() };
    Served::with(options, EngineOptions::default())
}

#[test]
fn addresses_that_are_not_on_the_internet() {
    let served = Served::new();
    topic(&served, "t");
    for host in [
        "169.254.169.254",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.0.0.1",
        "192.168.0.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "100.100.100.200",
        "[64:ff9b::a00:1]",
    ] {
        for (path, topics) in
            [("/consumers", ""), ("/consumers/register", ",\"topics\":{\"t\":null}")]
        {
            let body = format!("{{\"callback\":\"http://{host}:9/\"{topics}}}");
            let answer = post(&served, path, &body);
            assert_eq!(
                (answer.status, answer.code()),
                (400, "callback-refused".to_owned()),
                "{host}"
            );
            assert_eq!(answer.json()["pointer"], "/callback");
        }
    }
    assert_eq!(served.engine().head().get(), 1, "nothing was registered");
}

#[test]
fn names_that_lead_there() {
    let served = resolving(CallbackRules::default(), |host| match host {
        "loopback.example" => vec!["127.0.0.1"],
        "mixed.example" => vec!["93.184.216.34", "10.0.0.1"],
        "good.example" => vec!["93.184.216.34", "2606:2800:220:1::1"],
        _ => vec![],
    });
    let try_one = |host: &str| {
        let answer = post(&served, "/consumers", &format!("{{\"callback\":\"https://{host}/\"}}"));
        answer.status
    };
    assert_eq!(try_one("loopback.example"), 400);
    assert_eq!(try_one("mixed.example"), 400);
    assert_eq!(try_one("unknown.example"), 400);
    assert_eq!(try_one("good.example"), 201);
}

#[test]
fn a_name_that_changes_its_mind() {
    let sink = Sink::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // A public address while somebody looks, this machine once it counts.
    let served = resolving(CallbackRules::default(), move |_| {
        if count.fetch_add(1, SeqCst) == 0 { vec!["93.184.216.34"] } else { vec!["127.0.0.1"] }
    });
    let url = format!("http://rebinding.example:{}/", sink.address.port());
    let (id, _) = durable(&served, &url, ",\"retry\":{\"schedule_ms\":[10,10,10,10]}");
    append(&served, "e1", "s", "");
    let error = "the callback leads to an address that may not be called";
    until("the refusal", || consumer(&served, &id)["last_error"] == error);
    until("several attempts", || asked.load(SeqCst) > 3);
    assert!(sink.arrived().is_empty(), "no connection was made");
}

#[test]
fn what_the_operator_allows_is_called() {
    let sink = Sink::new();
    let allow = vec!["127.0.0.0/8".parse().expect("a block")];
    let served = resolving(CallbackRules { allow, loopback: false }, |_| vec!["127.0.0.1"]);
    durable(&served, &format!("http://inside.example:{}/x", sink.address.port()), "");
    append(&served, "e1", "s", "");
    let one = &sink.wait_for(1)[0];
    assert_eq!(one.header("host"), format!("inside.example:{}", sink.address.port()));
    assert_eq!(one.target, "/x");
}
