"""`aotrun serve` as a process of a test, a plain client, and one that asks much at once and counts answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_READY_SECONDS = 60


def wait_until(holds: Callable[[], bool]) -> None:
    """Ask again and again until something holds."""
    end = time.monotonic() + _READY_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Server:
    """A running server.

    Attributes:
        process: the supervisor.
        port: where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.port = int(self.wait_for_event("listening")["url"].rpartition(":")[2])

    def events(self) -> list[dict[str, Any]]:
        """What it has logged; every line is JSON."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        assert all(line.startswith("{") for line in lines), lines
        return [json.loads(line) for line in lines]

    def wait_for_event(self, name: str, count: int = 1) -> dict[str, Any]:
        """The `count`-th event of a name."""
        end = time.monotonic() + _READY_SECONDS
        while time.monotonic() < end:
            found = [event for event in self.events() if event["event"] == name]
            if len(found) >= count:
                return found[count - 1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {name} in {self._log.read_text(encoding='utf-8')}")

    def workers(self, count: int) -> list[int]:
        """The processes of the first `count` workers that became ready."""
        self.wait_for_event("worker ready", count)
        return [event["worker"] for event in self.events() if event["event"] == "worker ready"][:count]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
        """Status, body and headers of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The document there."""
        status, body, _ = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def infer(self, model: str, request: dict[str, Any], path: str = "infer") -> tuple[int, dict[str, Any]]:
        """Status and document of an inference in JSON."""
        status, body, _ = self.ask("POST", f"/v2/models/{model}/{path}", json.dumps(request).encode())
        return status, json.loads(body)

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, named as it begins."""
        text = self.ask("GET", "/metrics")[1].decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


@contextlib.contextmanager
def serving(bundle: Path, *words: str, prefix: Sequence[str] = (), ready: bool = True) -> Iterator[Server]:
    """Serve a bundle on a free port."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        program = [str(bundle / "bin" / "aotrun")] if not prefix else [*prefix]
        with log.open("wb") as stream:
            command = [*program, "serve", "--port", "0", "--drain-s", "0", *words]
            process = subprocess.Popen(command, stderr=stream, stdin=subprocess.DEVNULL)
        try:
            server = Server(process, log)
            if ready:
                server.wait_for_event("worker ready")
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            # One that never listened has said why in other lines.
            for event in [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]:
                if event["event"] == "worker ready":
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(event["worker"], signal.SIGKILL)


def binary_request(model: str, name: str, shape: Sequence[int], data: bytes, id_: str) -> bytes:
    """A whole HTTP request with one float32 tensor as bytes, which wants its outputs as bytes."""
    document = {
        "id": id_,
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": name, "shape": list(shape), "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
        ],
    }
    text = json.dumps(document).encode()
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {len(text) + len(data)}\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text + data


class Answer:
    """What came back: status, JSON, the bytes behind it, and whether the server ends the connection."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.status = int(head[9:12])
        found = re.search(rb"(?i)^inference-header-content-length: (\d+)", head, re.MULTILINE)
        text = body[: int(found[1])] if found else body
        self.document: dict[str, Any] = json.loads(text)
        self.data = body[len(text) :]
        self.closes = b"connection: close" in head.lower()


def taken(received: bytes) -> tuple[Answer, bytes] | None:
    """The first answer in what was received and the rest; None when it is not whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    found = re.search(rb"(?i)^content-length: (\d+)", received[:end], re.MULTILINE)
    assert found
    stop = end + 4 + int(found[1])
    if len(received) < stop:
        return None
    return Answer(received[:end], received[end + 4 : stop]), received[stop:]


class Asking:
    """One connection of `Crowd`: a question under way, and what has come of its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.question = -1
        self.asked = 0.0


class Crowd:
    """Many connections that ask numbered questions, one after the other, and hold each answer against its question.

    Attributes:
        answers: how often each question was answered, by its number.
        broken: numbers of questions whose connection ended without an answer.
        refused: how many were told to come again.
        seconds: of each answer.
    """

    def __init__(
        self,
        port: int,
        connections: int,
        question: Callable[[int], bytes],
        check: Callable[[int, Answer], None],
    ) -> None:
        self._port = port
        self._question = question
        self._check = check
        self._size = connections
        self._asking: dict[int, Asking] = {}
        self._next = 0
        self._poll = select.poll()
        self.answers: dict[int, int] = {}
        self.broken: list[int] = []
        self.refused = 0
        self.seconds: list[float] = []

    def _connect(self) -> bool:
        try:
            asking = Asking(self._port)
        except OSError:
            return False
        self._asking[asking.socket.fileno()] = asking
        self._poll.register(asking.socket, select.POLLIN)
        self._ask(asking)
        return True

    def _ask(self, asking: Asking) -> None:
        asking.question = self._next
        self._next += 1
        asking.asked = time.perf_counter()
        try:
            asking.socket.sendall(self._question(asking.question))
        except OSError:
            self._end(asking, answered=False)

    def _end(self, asking: Asking, *, answered: bool) -> None:
        if not answered:
            self.broken.append(asking.question)
        del self._asking[asking.socket.fileno()]
        self._poll.unregister(asking.socket)
        asking.socket.close()

    def run(self, enough: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Ask until there is enough, then wait for what is under way. `meanwhile` is called once a round."""
        try:
            self._run(enough, meanwhile)
        finally:
            for asking in self._asking.values():
                asking.socket.close()

    def _run(self, enough: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
        listening = True
        while True:
            is_enough = enough()
            while not is_enough and listening and len(self._asking) < self._size:
                listening = self._connect()
            if not self._asking:
                return
            for descriptor, _ in self._poll.poll(1000):
                asking = self._asking.get(descriptor)
                if asking is not None:
                    self._receive(asking, is_enough)
            meanwhile()

    def _receive(self, asking: Asking, is_enough: bool) -> None:
        try:
            chunk = asking.socket.recv(1 << 20)
        except OSError:
            chunk = b""
        if not chunk:
            self._end(asking, answered=False)
            return
        found = taken(asking.received + chunk)
        if found is None:
            asking.received += chunk
            return
        answer, asking.received = found
        assert not asking.received, "more than was asked for"
        if answer.status == 429:
            self.refused += 1
        else:
            self.seconds.append(time.perf_counter() - asking.asked)
            self._check(asking.question, answer)
            self.answers[asking.question] = self.answers.get(asking.question, 0) + 1
        if answer.closes or is_enough:
            self._end(asking, answered=True)
        else:
            self._ask(asking)

    @property
    def asked(self) -> int:
        """Questions so far, which are numbered from 0."""
        return self._next

    @property
    def count(self) -> int:
        """Answers so far."""
        return len(self.seconds)


def floats(data: bytes) -> tuple[float, ...]:
    """The float32 in some bytes."""
    return struct.unpack(f"<{len(data) // 4}f", data)
