"""A client in another language, generated from api/eventsdb.proto: creates, gets, streams, deletes,
and asks by reflection what there is.

usage: grpc_client.py <address> <directory with the protos>
Run by crates/annal/tests/it/python.rs; needs grpcio, grpcio-tools and grpcio-reflection.
"""

import sys
import tempfile
import threading

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_tools import protoc

TIMEOUT_S = 60


def generated(protos):
    """The modules of messages and stubs that protoc makes of the proto."""
    out = tempfile.mkdtemp(prefix="annal-grpc-")
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={protos}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            "eventsdb.proto",
        ]
    )
    assert status == 0, f"protoc: {status}"
    sys.path.insert(0, out)
    import eventsdb_pb2
    import eventsdb_pb2_grpc

    return eventsdb_pb2, eventsdb_pb2_grpc


def create(pb, stub, subject, number):
    request = pb.CreateEventRequest(
        source="/python", type=f"t.{number % 2}", subject=subject, data=str(number).encode()
    )
    return stub.CreateEvent(request, timeout=TIMEOUT_S).id


def creates_and_gets(pb, stub):
    position = create(pb, stub, "single", 7)
    event = stub.GetEventByID(pb.GetEventByIDRequest(id=position), timeout=TIMEOUT_S)
    assert event.id == position and event.data == b"7", event
    assert (event.source, event.type, event.subject) == ("/python", "t.1", "single"), event
    assert create(pb, stub, "single", 7) > position, "each call is a new event"
    try:
        stub.GetEventByID(pb.GetEventByIDRequest(id=1_000_000), timeout=TIMEOUT_S)
        raise AssertionError("an event that is not there was found")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        assert ("annal-code", "event-not-found") in error.trailing_metadata(), error


def streams(pb, stub):
    """Replay, then live, under concurrent appends: no gap, no repeat, in order."""
    before, writers, each = 300, 4, 150
    for number in range(before):
        create(pb, stub, f"load/{number % 3}", number)

    def write(writer):
        for number in range(each):
            create(pb, stub, f"load/{writer}", before + writer * each + number)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads[:2]:
        thread.start()
    request = pb.EventsFromSubjectRequest(subject="load", recursive=True)
    call = stub.StreamEventsFromSubject(request, timeout=TIMEOUT_S)
    seen = []
    for page in call:
        assert 1 <= len(page.events) <= 10, len(page.events)
        seen.extend((event.id, int(event.data)) for event in page.events)
        if len(seen) >= before and threads[2].ident is None:
            for thread in threads[2:]:
                thread.start()
        if len(seen) >= before + writers * each:
            call.cancel()
            break
    for thread in threads:
        thread.join()
    positions = [position for position, _ in seen]
    assert positions == sorted(set(positions)), "an event came twice, or out of order"
    numbers = sorted(number for _, number in seen)
    assert numbers == list(range(before + writers * each)), "an event is missing"


def pages_and_deletes(pb, stub):
    ids = [create(pb, stub, "pages/a", number) for number in range(12)]
    request = pb.EventsFromSubjectRequest(subject="pages/a")
    page = stub.GetHistoricEventsFromSubject(request, timeout=TIMEOUT_S)
    assert [event.id for event in page.events] == ids[:10] and page.has_more, page
    request = pb.EventsFromSubjectRequest(subject="pages/a", from_id=ids[9])
    page = stub.GetHistoricEventsFromSubject(request, timeout=TIMEOUT_S)
    assert [event.id for event in page.events] == ids[10:] and not page.has_more, page
    request = pb.EventsFromSubjectRequest(subject="pages", recursive=True, from_id=ids[5])
    assert stub.DeleteFromSubject(request, timeout=TIMEOUT_S).ok
    request = pb.EventsFromSubjectRequest(subject="pages/a")
    page = stub.GetHistoricEventsFromSubject(request, timeout=TIMEOUT_S)
    assert [event.id for event in page.events] == ids[:5] and not page.has_more, page


def reflects(channel):
    services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {"grpc.EventsDB", "annal.v1.EventStore", "grpc.health.v1.Health"} <= services, services


def main():
    address, protos = sys.argv[1:]
    pb, pb_grpc = generated(protos)
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.EventsDBStub(channel)
        creates_and_gets(pb, stub)
        streams(pb, stub)
        pages_and_deletes(pb, stub)
        reflects(channel)
    print("passed")


main()
