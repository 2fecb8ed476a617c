//! `Read` and `Get`.

use tonic::Code;

use super::{World, code, event, events, position};
use crate::{
    fixture::Served,
    generated::annal_v1::{
        Filter, GetRequest, Identity, Interest, Order, ReadRequest, ReadResponse, filter::Form,
        get_request::Which,
    },
};

fn read(world: &World, request: ReadRequest) -> (Vec<u64>, ReadResponse) {
    world.run(async {
        let mut pages = world.store().read(request).await.expect("begun").into_inner();
        let (mut positions, mut last) = (Vec::new(), ReadResponse::default());
        while let Some(page) = pages.message().await.expect("a page") {
            positions.extend(page.events.iter().map(position));
            last = page;
        }
        (positions, last)
    })
}

#[test]
fn pages_go_on_where_they_ended() {
    let world = World::new();
    world.append(events(1..=9_000));
    let (all, last) = read(&world, ReadRequest::default());
    assert_eq!(all, (1..=9_000).collect::<Vec<_>>());
    assert_eq!((last.next, last.has_more, last.head), (None, false, 9_000));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = ReadRequest { after, limit: 2_000, ..ReadRequest::default() };
        let (page, last) = read(&world, request);
        assert_eq!(last.has_more, last.next.is_some());
        seen.extend(page);
        after = last.next;
        if !last.has_more {
            break;
        }
    }
    assert_eq!(seen, all);
    let newest = ReadRequest { order: Order::NewestFirst.into(), limit: 3, ..Default::default() };
    let (page, last) = read(&world, newest);
    assert_eq!((page, last.next), (vec![9_000, 8_999, 8_998], Some(8_998)));
    let exact = ReadRequest { after: Some(8_990), limit: 10, ..ReadRequest::default() };
    assert_eq!(read(&world, exact).1.next, None);
}

#[test]
fn an_interest_narrows() {
    let world = World::new();
    world.append(events(1..=9));
    let of = |interest: Interest| {
        read(&world, ReadRequest { interest: Some(interest), ..ReadRequest::default() }).0
    };
    let subject = |text: &str| Interest { subjects: vec![text.to_owned()], ..Interest::default() };
    let filtered =
        |form| Interest { filters: vec![Filter { form: Some(form) }], ..Interest::default() };
    assert_eq!(of(subject("s/1")), [1, 4, 7]);
    assert_eq!(of(subject("s/*")), (1..=9).collect::<Vec<_>>());
    assert_eq!(of(filtered(Form::Expression("id = 'e5'".to_owned()))), [5]);
    let dialects = r#"[{"exact":{"id":"e6"}}]"#.to_owned();
    assert_eq!(of(filtered(Form::Dialects(dialects))), [6]);
    for form in [Form::Expression("id =".to_owned()), Form::Dialects("\"id = 'a'\"".to_owned())] {
        let request = ReadRequest { interest: Some(filtered(form)), ..ReadRequest::default() };
        let status = world.run(world.store().read(request)).expect_err("refused");
        assert_eq!(code(&status), (Code::InvalidArgument, "invalid-filter".to_owned()));
    }
    let request = ReadRequest { order: 9, ..ReadRequest::default() };
    let status = world.run(world.store().read(request)).expect_err("refused");
    assert_eq!(code(&status), (Code::InvalidArgument, "invalid-parameter".to_owned()));
}

#[test]
fn one_event_by_position_or_identity() {
    let world = World::new();
    world.append(events(1..=3));
    let get = |which| world.run(world.store().get(GetRequest { which, ..GetRequest::default() }));
    let identity = |id: &str| {
        Some(Which::Identity(Identity { source: "/test".to_owned(), id: id.to_owned() }))
    };
    for which in [Some(Which::Position(2)), identity("e2")] {
        let found = get(which).expect("found").into_inner();
        let event = found.event.expect("an event");
        assert_eq!((found.position, event.id.as_str(), position(&event)), (2, "e2", 2));
    }
    let missing = (Code::NotFound, "event-not-found".to_owned());
    assert_eq!(code(&get(Some(Which::Position(9))).expect_err("nothing")), missing);
    assert_eq!(code(&get(identity("e9")).expect_err("nothing")), missing);
    assert_eq!(code(&get(None).expect_err("nothing")).1, "invalid-parameter");
    assert_eq!(world.served.send("POST /subjects/delete?subject=s/2").status, 200);
    let deleted = (Code::NotFound, "event-deleted".to_owned());
    assert_eq!(code(&get(Some(Which::Position(2))).expect_err("deleted")), deleted);
    assert_eq!(code(&get(identity("e2")).expect_err("deleted")), deleted);
    let system = GetRequest { which: Some(Which::Position(4)), system: true, ..Default::default() };
    assert!(world.run(world.store().get(system)).is_ok());
    let late = GetRequest { which: identity("e1"), min_position: 5, ..GetRequest::default() };
    let waiting = world.store();
    world.run(async {
        let mut waiting = waiting;
        let asked = tokio::spawn(async move { waiting.get(late).await });
        let more = crate::generated::annal_v1::AppendRequest {
            events: vec![event("later", "x")],
            ..Default::default()
        };
        world.store().append(more).await.expect("appended");
        assert!(asked.await.expect("no panic").is_ok());
    });
}

#[test]
fn nothing_is_served_before_the_log_is_open() {
    let world = World::around(Served::starting(Default::default()));
    let status = world.run(world.store().read(ReadRequest::default())).expect_err("refused");
    assert_eq!(code(&status), (Code::Unavailable, "starting".to_owned()));
    world.served.open(Default::default());
    assert!(world.run(world.store().read(ReadRequest::default())).is_ok());
}
