"""A client in another language, generated from the protos of api/: creates, gets, streams, deletes,
appends, reads, and asks by reflection what there is.

usage: grpc_client.py <address> <directory with the protos>
Run by crates/annal/tests/it/python.rs; needs grpcio, grpcio-tools and grpcio-reflection.
"""

import importlib.resources
import sys
import tempfile
import threading

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_tools import protoc

TIMEOUT_S = 60
STREAM_TIMEOUT_S = 120


def generate(protos):
    """Makes modules of messages and stubs of the protos, to be imported from now on."""
    included = importlib.resources.files("grpc_tools") / "_proto"
    out = tempfile.mkdtemp(prefix="annal-grpc-")
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={protos}",
            f"--proto_path={included}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            "annal.proto",
            "cloudevents.proto",
            "eventsdb.proto",
        ]
    )
    assert status == 0, f"protoc: {status}"
    sys.path.insert(0, out)


def appends_and_reads(channel):
    import annal_pb2 as pb
    import annal_pb2_grpc
    import cloudevents_pb2

    stub = annal_pb2_grpc.EventStoreStub(channel)
    event = cloudevents_pb2.CloudEvent(
        id="1", source="/python", spec_version="1.0", type="t", text_data="hello"
    )
    event.attributes["subject"].ce_string = "appended"
    appended = stub.Append(pb.AppendRequest(events=[event]), timeout=TIMEOUT_S)
    assert len(appended.positions) == 1, appended
    interest = pb.Interest(subjects=["appended"])
    read = []
    for response in stub.Read(pb.ReadRequest(interest=interest), timeout=TIMEOUT_S):
        read.extend(response.events)
    assert [(event.id, event.text_data) for event in read] == [("1", "hello")], read
    assert read[0].attributes["position"].ce_string == str(appended.positions[0]), read


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
    """Replay, then live, while others append all the time: no gap, no repeat, in order.

    Two writers begin before the stream and two once it has replayed what was there; the first two do
    not end before something of the others has arrived.
    """
    before, early, late, each, most = 2_000, 2, 2, 500, 20_000
    futures = []
    for number in range(before):
        if number >= 100:
            futures[number - 100].result()
        request = pb.CreateEventRequest(
            source="/python", type="t", subject=f"load/{number % 3}", data=f"0 {number}".encode()
        )
        futures.append(stub.CreateEvent.future(request, timeout=TIMEOUT_S))
    for future in futures[-100:]:
        future.result()

    is_live, created = threading.Event(), [0] * (1 + early + late)

    def write(writer):
        while created[writer] < each or not is_live.is_set():
            assert created[writer] < most, "the stream is never live"
            data = f"{writer} {created[writer]}".encode()
            request = pb.CreateEventRequest(
                source="/python", type="t", subject=f"load/{writer}", data=data
            )
            stub.CreateEvent(request, timeout=TIMEOUT_S)
            created[writer] += 1

    def end():
        for thread in threads:
            thread.join()
        request = pb.CreateEventRequest(
            source="/python", type="t", subject="load/end", data=f"0 {before}".encode()
        )
        stub.CreateEvent(request, timeout=TIMEOUT_S)

    threads = [threading.Thread(target=write, args=(writer + 1,)) for writer in range(early + late)]
    for thread in threads[:early]:
        thread.start()
    while min(created[1 : early + 1]) == 0:
        assert any(thread.is_alive() for thread in threads[:early]), "nobody writes"
        threads[0].join(timeout=0.01)
    request = pb.EventsFromSubjectRequest(subject="load", recursive=True)
    call = stub.StreamEventsFromSubject(request, timeout=STREAM_TIMEOUT_S)
    positions, seen = [], [[] for _ in created]
    while len(seen[0]) <= before:
        page = next(call)
        assert 1 <= len(page.events) <= 10, len(page.events)
        for event in page.events:
            writer, number = map(int, event.data.split())
            # Nobody appends anything else meanwhile.
            assert not positions or event.id == positions[-1] + 1, (positions[-1], event.id)
            positions.append(event.id)
            seen[writer].append(number)
        if len(seen[0]) >= before and threads[early].ident is None:
            for thread in threads[early:]:
                thread.start()
            threading.Thread(target=end).start()
        if any(seen[early + 1 :]):
            is_live.set()
    call.cancel()
    for writer, numbers in enumerate(seen):
        # Of a writer, who waits for each answer, they come in its order, too.
        numbers = sorted(numbers) if writer == 0 else numbers
        expected = before + 1 if writer == 0 else created[writer]
        assert numbers == list(range(expected)), f"an event of writer {writer} is missing"
    assert len(positions) >= before + (early + late) * each, len(positions)


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
    expected = {"grpc.EventsDB", "annal.v1.EventStore", "grpc.health.v1.Health"}
    # The service of reflection itself need not be among them.
    others = {service for service in services if not service.startswith("grpc.reflection.")}
    assert others == expected, services


def main():
    address, protos = sys.argv[1:]
    generate(protos)
    import eventsdb_pb2 as pb
    import eventsdb_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        appends_and_reads(channel)
        stub = eventsdb_pb2_grpc.EventsDBStub(channel)
        creates_and_gets(pb, stub)
        streams(pb, stub)
        pages_and_deletes(pb, stub)
        reflects(channel)
    print("passed")


main()
