"""What becomes of requests when something goes wrong beside them: models and clients are doubles, the loop is real."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aotrun.arrays.array import Array
from aotrun.arrays.dtypes import BY_NAME
from aotrun.errors import AotError
from aotrun.serving.computing import Computing
from aotrun.serving.connection import Connection
from aotrun.serving.metrics import Board
from aotrun.serving.models import Served
from aotrun.serving.protocol import Plan, Rows
from aotrun.serving.settings import Settings
from aotrun.serving.supervisor import Supervisor
from aotrun.serving.worker import Request, Worker

FLOAT = BY_NAME["float32"]


def settings(workers: int = 1) -> Settings:
    values: dict[str, Any] = dict.fromkeys(
        ("threads", "max_batch", "max_delay_ms", "busy_poll_us", "drain_s", "grace_s", "port"),
        0,
    )
    values |= {"host": "127.0.0.1", "workers": workers, "device": None, "log_requests": False, "deadline_ms": 1000}
    values |= dict.fromkeys(("max_queue", "max_connections", "max_sequences"), 8)
    values |= dict.fromkeys(("max_body_mb", "body_timeout_s", "sequence_idle_s"), 1)
    return Settings(values)


class Client:
    """A double of a connection."""

    is_open = True
    closes = False

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def answer(self, pieces: list[bytes], *, close: bool) -> None:
        self.statuses.append(int(pieces[0].split()[1]))

    def refuse(self, error: Any) -> None:
        self.statuses.append(error.status)

    def resume(self) -> None:
        pass


class Model:
    """A double of a served model, which takes its time."""

    name = "double"
    seconds = 0.0
    has_state = False
    output_names = ("y",)

    def __init__(self, index: int, most: int, sleeps: float) -> None:
        self.index = index
        self.most = most
        self.sleeps = sleeps

    def run_all(self, requests: list[Any], _session: Any) -> list[Any]:
        time.sleep(self.sleeps)
        return [[Rows(FLOAT, (1,), bytes(4))] for _ in requests]


@pytest.fixture
def worker() -> Iterator[Worker]:
    names = ("slow", "joined")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Worker(settings(), names, Board(1, names), 0, theirs)


def waits(worker: Worker, model: Model, patience: float) -> Client:
    client: Any = Client()
    served: Any = model
    array = Array(FLOAT, (1, 2), bytearray(8))
    plan = Plan(None, {}, [], [(0, False)])
    worker._waiting.append(Request(client, served, plan, [array], worker.now, worker.now + patience))
    double: Client = client
    return double


def test_one_that_is_late_takes_nobody_along(worker: Worker) -> None:
    worker.now = time.monotonic()
    slow, joined = Model(0, 1, 0.05), Model(1, 8, 0.0)
    first = waits(worker, slow, 10)
    late, other = waits(worker, joined, 0.01), waits(worker, joined, 10)
    worker._work()
    assert (first.statuses, late.statuses, other.statuses) == ([200], [504], [200])


def test_a_client_that_sends_on_without_waiting_takes_turns_with_the_others(worker: Worker) -> None:
    """Its next request waits for the next round, in which the loop has looked for those of others."""
    model = Model(0, 1, 0.0)

    class Eager(Client):
        def resume(self) -> None:
            waits(worker, model, 10)

    array = Array(FLOAT, (1, 2), bytearray(8))
    eager: Any = Eager()
    served: Any = model
    worker._waiting.append(
        Request(eager, served, Plan(None, {}, [], [(0, False)]), [array], worker.now, worker.now + 10)
    )
    patient = waits(worker, model, 10)
    assert worker._work() == 0.0
    assert (eager.statuses, patient.statuses, len(worker._waiting)) == ([200], [200], 1)
    assert worker._work() is None


def test_a_worker_stays_awake_for_so_long_as_it_is_told(worker: Worker) -> None:
    asked: list[float] = []

    class Poll:
        """A double of an epoll object, for which something happens at the fourth question."""

        def poll(self, timeout: float, _most: int) -> list[tuple[int, int]]:
            asked.append(timeout)
            return [(1, select.EPOLLIN)] if len(asked) == 4 else []

    double: Any = Poll()
    worker.poll = double
    assert worker._wait(9.0) == []
    worker.settings.busy_poll = 1e-9  # over with the first look
    assert worker._wait(9.0) == []
    assert asked == [9.0, 0, 9.0]
    worker.settings.busy_poll = 60.0
    assert worker._wait(9.0) == [(1, select.EPOLLIN)]
    assert asked == [9.0, 0, 9.0, 0]
    worker._computing.is_busy = True
    assert worker._wait(9.0) == []
    assert asked == [9.0, 0, 9.0, 0, 9.0]


def test_a_connection_goes_on_as_its_answer_said(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor tells the end at any moment: after the head was written, say, and before it was sent."""
    client, theirs = socket.socketpair()
    theirs.setblocking(False)
    told = iter((False, True, True, True))
    monkeypatch.setattr(Board, "is_ending", property(lambda _: next(told)))
    with client:
        connection = worker._connections[theirs.fileno()] = Connection(worker, theirs, worker.now)
        client.sendall(b"GET /v2 HTTP/1.1\r\n\r\n")
        connection.on_event(select.EPOLLIN)
        assert b"Connection: close" not in client.recv(4096)
        client.sendall(b"GET /v2 HTTP/1.1\r\n\r\n")
        connection.on_event(select.EPOLLIN)
        assert b"Connection: close" in client.recv(4096)
        assert not client.recv(1)


def test_so_does_one_that_asks_for_pages(worker: Worker) -> None:
    client, theirs = socket.socketpair()
    theirs.setblocking(False)
    with client:
        connection = worker._connections[theirs.fileno()] = Connection(worker, theirs, worker.now)
        client.sendall(b"GET /v2 HTTP/1.1\r\n\r\n" * 100)
        connection.on_event(select.EPOLLIN)
        rounds = 1
        while worker._unfinished:
            rounds += 1
            worker._unfinished.pop().resume()
        assert rounds == 7
        assert client.recv(1 << 20).count(b"HTTP/1.1 200 OK") == 100
        connection.close()


@pytest.mark.parametrize("timeout", [10**400, 1, 0])
def test_any_number_is_a_timeout(worker: Worker, timeout: int) -> None:
    assert 0 < worker._patience(Plan(None, {"timeout": timeout}, [], [])) <= 1


def test_an_error_of_a_job_is_the_loops() -> None:
    computing = Computing()

    def job() -> None:
        raise MemoryError

    computing.give(job)
    assert select.select([computing.ended], [], [], 10)[0]
    with pytest.raises(MemoryError):
        computing.take()
    computing.give(lambda: 7)
    assert select.select([computing.ended], [], [], 10)[0]
    assert computing.take() == 7


def test_a_run_without_memory_is_one_requests_error() -> None:
    def runs(*_arrays: Array) -> Any:
        raise MemoryError

    double: Any = SimpleNamespace(outputs=(), description={}, session=None)
    served = Served("double", 0, double, 1)
    served.model = runs  # type: ignore[assignment]
    assert [type(each) for each in served.run_all([[Array(FLOAT, (1,), bytearray(4))]])] == [MemoryError]


def test_two_workers_that_cannot_start_end_the_server_once() -> None:
    reported: list[AotError] = []
    supervisor = Supervisor(settings(workers=2), ["m"], reported.append)
    for number, child in enumerate(supervisor._children):
        child.process = 1_000_000 + number
        child.channel, other = socket.socketpair()
        other.close()
    supervisor._poll.register(supervisor._listener.fileno(), 0)
    for child in supervisor._children:
        supervisor._lost(child, 5 << 8)
    assert supervisor._failed == 5
    assert supervisor._listener is None


def test_connections_that_come_faster_than_they_are_taken_wait() -> None:
    """The channel to a worker holds some hundred; none that is accepted is closed for want of room."""
    supervisor = Supervisor(settings(), ["m"], lambda _error: None)
    supervisor._poll.register(supervisor._listener.fileno(), 0)
    child = supervisor._children[0]
    child.process = 1_000_000
    child.channel, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child.channel.setblocking(False)
    worker.setblocking(False)
    child.channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    clients = [socket.create_connection(supervisor._listener.getsockname()) for _ in range(40)]
    supervisor._accept()
    assert supervisor._held is not None
    supervisor._listen_if_served()
    assert supervisor._mask == 0
    taken: list[int] = []
    while len(taken) < len(clients):
        with contextlib.suppress(BlockingIOError):
            while True:
                taken += socket.recv_fds(worker, 1, 1)[1]
        supervisor._accept()
    assert supervisor._held is None
    for descriptor in taken:
        os.close(descriptor)
    for client in (*clients, worker):
        client.close()
    supervisor._close()


def test_a_fork_that_fails_is_tried_again_with_longer_pauses(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The other workers go on, and no file stays open."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    supervisor = Supervisor(settings(workers=2), ["m"], lambda _error: None)
    first, second = supervisor._children
    first.process = 1_000_000
    gc.collect()  # what other tests left open
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr("os.fork", fork)
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        second.started = -1000.0
        supervisor._start_missing()
        assert (second.process, second.pause) == (0, pytest.approx(pause))
        assert 0 < supervisor._timeout() <= pause
    assert first.process == 1_000_000
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {(event["event"], event["again_in_s"]) for event in events} >= {("cannot start worker", 0.1)}
    monkeypatch.setattr("os.fork", lambda: 1_000_001)
    second.started = -1000.0
    supervisor._start_missing()
    assert second.process == 1_000_001
    supervisor._poll.register(supervisor._listener.fileno(), 0)
    supervisor._close()
