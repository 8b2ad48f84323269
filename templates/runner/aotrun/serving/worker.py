"""A worker process: one loop that reads requests, puts those together that may run together, and answers."""

from __future__ import annotations

import _socket
import gc
import select
import struct
import time
from collections import deque

from aotrun import __version__
from aotrun.errors import AotError, UsageError
from aotrun.formats.documents import dumps
from aotrun.serving import batching, http, metrics, models, protocol
from aotrun.serving.computing import Computing
from aotrun.serving.connection import Connection
from aotrun.serving.http import Refused
from aotrun.serving.logs import log
from aotrun.serving.sequences import Sequences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple

    from aotrun.arrays.array import Array
    from aotrun.library.model import Session
    from aotrun.serving.http import Head
    from aotrun.serving.metrics import Board
    from aotrun.serving.models import Served
    from aotrun.serving.protocol import Plan
    from aotrun.serving.settings import Settings

#: Runs that take longer than this leave the loop free meanwhile; handing a shorter one over would cost more than it
#: frees.
_LONG = 0.001
_HEADS = 1024
_EVENTS = 256
#: More than there were before, after which unreachable objects are looked for.
_OBJECTS = 50_000
#: Seconds after which a head that is not whole gives way to somebody else; it fits into one packet or a few.
_SLOW_HEAD = 1.0
_SWEEP = 0.25
#: Clients of too many connections that are still being told so.
_LEAVING = 16
_AGAIN = b"Retry-After: 1\r\n"
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Request:
    """An inference that waits or runs.

    Attributes:
        connection: who asked.
        served, plan, arrays: what for.
        session: of its sequence, if it is of one.
        key, rows: see `batching.take`.
        arrived, deadline: in seconds of the loop's clock.
    """

    __slots__ = ("arrays", "arrived", "connection", "deadline", "key", "plan", "rows", "served", "session")

    def __init__(
        self, connection: Connection, served: Served, plan: Plan, arrays: List[Array], arrived: float, deadline: float
    ) -> None:
        self.connection = connection
        self.served = served
        self.plan = plan
        self.arrays = arrays
        self.arrived = arrived
        self.deadline = deadline
        self.session: Optional[Session] = None
        self.key: Any = None
        self.rows = 1
        if served.most > 1:
            self.key = served.index, batching.key_of(arrays)
            self.rows = batching.rows_of(arrays)


class Worker:
    """The loop.

    Args:
        settings: limits.
        names: of the models that are served.
        board: counts that all workers share.
        number: of this worker.
        channel: a socket on which connections arrive.

    Attributes:
        now: when this round of the loop began.
        poll: what it waits for.
    """

    def __init__(self, settings: Settings, names: Sequence[str], board: Board, number: int, channel: Any) -> None:
        self.settings = settings
        self.now = time.monotonic()
        self.poll = select.epoll()
        self._names = list(names)
        self._board = board
        self._row = board.rows[number]
        self._channel = channel
        self._models: Dict[str, Served] = {}
        self._connections: Dict[int, Connection] = {}
        self._leaving: Dict[int, Connection] = {}  # of too many: they are told so
        self._waiting: Deque[Request] = deque()
        self._running: List[Request] = []
        self._heads: Dict[bytes, Head] = {}
        self._unfinished: List[Connection] = []
        self._sequences = Sequences(settings.max_sequences, settings.sequence_idle, is_served=settings.workers == 1)
        self._buffered = 0
        self._computing = Computing()
        self._is_closing = False  # no more connections come
        self._closes_at = 0.0
        self._failure: Optional[AotError] = None

    # ---- what connections ask ----

    @property
    def is_ending(self) -> bool:
        """Whether connections end with their next answer."""
        return self._is_closing or self._board.is_ending

    def head(self, text: bytes) -> Head:
        """A parsed head; most clients send the same again and again. Raises Refused."""
        head = self._heads.get(text)
        if head is None:
            head = http.parse_head(text)
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[text] = head
        return head

    def reserve(self, size: int) -> bool:
        """Room for a body; False when there is none."""
        if self._buffered + size > self.settings.max_buffered:
            self._row.count("refused")
            return False
        self._buffered += size
        return True

    def release(self, size: int) -> None:
        """The body is gone."""
        self._buffered -= size

    def go_on_later(self, connection: Connection) -> None:
        """In the next round: it has received more than it may do in one."""
        self._unfinished.append(connection)

    def forget(self, connection: Connection) -> None:
        """A connection ends."""
        self.poll.unregister(connection.descriptor)
        if self._leaving.pop(connection.descriptor, None) is None:
            del self._connections[connection.descriptor]
        self._row.gauge("connections", len(self._connections))

    def dispatch(self, connection: Connection, head: Head, body: memoryview) -> None:
        """A whole request is here: it is answered, or waits. Raises Refused."""
        words = head.path.split("/")[1:]
        if head.method == "POST" and len(words) >= 4 and words[-1] == "infer":
            served = self._model(words[:-1])
            try:
                self._infer(connection, served, head, body)
            except Exception as error:  # noqa: BLE001  there is no room for another session, say; others go on
                refused = error if isinstance(error, Refused) else _refused(error)
                if refused.status >= 500:
                    log("error", "request", model=served.name, status=refused.status, error=refused.text)
                self._row.request(served.index, refused.status, 0.0)
                raise refused from None
            return
        kind, content = self._page(head, words)
        close = connection.closes
        connection.answer([http.response(200, content, kind=kind, close=close)], close=close)

    # ---- pages ----

    def _page(self, head: Head, words: List[str]) -> Tuple[bytes, bytes]:
        """Type and content of what can be read. Raises Refused."""
        path = "/".join(words).rstrip("/")
        if head.method not in ("GET", "HEAD") or words[-1] == "infer":
            allowed = b"POST" if words[-1] == "infer" else b"GET"
            raise Refused(405, f"{head.method} {head.path}", b"Allow: " + allowed + b"\r\n", close=True)
        if head.method == "HEAD":
            raise Refused(405, f"{head.method} {head.path}", b"Allow: GET\r\n", close=True)
        if path == "metrics":
            return _TEXT, self._board.text().encode("utf-8")
        document: Dict[str, Any]
        if path == "v2":
            document = {"name": "aotrun", "version": __version__, "extensions": ["binary_tensor_data", "sequence"]}
        elif path == "v2/health/live":
            document = {"live": True}
        elif path == "v2/health/ready":
            if not self._board.is_ready:
                raise Refused(503, "not ready", _AGAIN)
            document = {"ready": True}
        elif path == "v2/models":
            document = {"models": self._names}
        elif words[:2] == ["v2", "models"] and len(words) > 2:
            is_probe = words[-1] == "ready" and len(words) in (4, 6)
            served = self._model(words[:-1] if is_probe else words)
            if is_probe and self._board.is_ending:
                raise Refused(503, "not ready", _AGAIN)
            document = (
                {"name": served.name, "ready": True}
                if is_probe
                else protocol.model_metadata(served.name, served.model.inputs, served.model.outputs)
            )
        else:
            raise Refused(404, f"there is nothing at {head.path}")
        return http.JSON, dumps(document).encode("utf-8")

    def _model(self, words: List[str]) -> Served:
        """The model of `v2/models/NAME[/versions/VERSION]`. Raises Refused."""
        if words[:2] != ["v2", "models"] or len(words) not in (3, 5) or (len(words) == 5 and words[3] != "versions"):
            raise Refused(404, f"there is nothing at /{'/'.join(words)}")
        name = words[2]
        if name not in self._names:
            raise Refused(404, f"no model {name!r}; this server has {', '.join(self._names)}")
        if len(words) == 5 and words[4] != "1":
            raise Refused(404, f"no version {words[4]!r} of {name}; there is version 1")
        served = self._models.get(name)
        if served is None:
            raise Refused(503, f"{name} is being loaded", _AGAIN)
        return served

    # ---- inference ----

    def _infer(self, connection: Connection, served: Served, head: Head, body: memoryview) -> None:
        length = len(body) if head.json_length is None else head.json_length
        if length > len(body):
            raise Refused(400, f"Inference-Header-Content-Length is {length}, the body has {len(body)} bytes")
        if len(self._waiting) >= self.settings.max_queue:
            self._row.count("refused")
            raise Refused(429, f"{len(self._waiting)} requests wait", _AGAIN)
        plan = served.plan(bytes(body[:length]), len(body) - length)
        deadline = self.now + self._patience(plan)
        arrays = plan.arrays(body[length:])
        request = Request(connection, served, plan, arrays, self.now, deadline)
        if plan.parameters:
            request.session = self._sequences.session(served, plan.parameters, self.now)
            self._row.gauge("sequences", len(self._sequences))
        self._waiting.append(request)
        connection.is_busy = True

    def _patience(self, plan: Plan) -> float:
        """Seconds that a request may wait: `timeout` of the protocol's clients is in microseconds."""
        timeout = plan.parameters.get("timeout")
        if timeout is None:
            return self.settings.deadline
        if type(timeout) is not int or timeout < 0:
            raise Refused(400, "timeout is no number of microseconds")
        # Compared before it is divided: it may be too large for that.
        return min(timeout, self.settings.deadline * 1e6) / 1e6 if timeout else self.settings.deadline

    def _work(self) -> Optional[float]:
        """Run what waits; returns how long until there may be more to do, None when nothing waits.

        What comes to wait meanwhile, as clients that send on without waiting get their answers, is for the next round.
        """
        if not self._waiting:
            return None
        self._drop_late()
        left = None
        turns = len(self._waiting)
        while self._waiting and not self._computing.is_busy:
            if turns <= 0:
                left = 0.0
                break
            first = self._waiting[0]
            if first.served.most == 1:
                batch = [self._waiting.popleft()]
            else:
                left = self._full_in(first)
                if left is not None:
                    break
                batch = self._take_batch()
            turns -= len(batch)
            late = [each for each in batch if each.deadline < self.now]  # a run before this one took its time
            for request in late:
                self._refuse(request, _late(request))
            if late:
                batch = [each for each in batch if each not in late]
            if batch:
                self._run(batch)
        self._row.gauge("queued", len(self._waiting))
        return left

    def _full_in(self, first: Request) -> Optional[float]:
        """Seconds for which a batch may still be filled; None when it is to run now."""
        left = first.arrived + self.settings.max_delay - self.now
        if left <= 0 or self._is_closing:
            return None
        rows = sum(request.rows for request in self._waiting if request.key == first.key)
        return None if rows >= first.served.most else left

    def _take_batch(self) -> List[Request]:
        """The first request, and those that run with it."""
        waiting = list(self._waiting)
        places = batching.take([(each.key, each.rows) for each in waiting], waiting[0].served.most)
        chosen = set(places)
        self._waiting = deque(each for place, each in enumerate(waiting) if place not in chosen)
        return [waiting[place] for place in places]

    def _drop_late(self) -> None:
        """Requests that nobody waits for any more, or that waited too long."""
        if all(each.connection.is_open and each.deadline >= self.now for each in self._waiting):
            return
        waiting, self._waiting = self._waiting, deque()
        for request in waiting:
            if not request.connection.is_open:
                self._row.count("cancelled")
            elif request.deadline < self.now:
                self._refuse(request, _late(request))
            else:
                self._waiting.append(request)

    def _run(self, batch: List[Request]) -> None:
        served = batch[0].served
        inputs = [request.arrays for request in batch]
        session = batch[0].session
        self._running = batch
        if served.seconds > _LONG:
            self._computing.give(lambda: self._timed(served, inputs, session))
        else:
            self._finish(self._timed(served, inputs, session))

    @staticmethod
    def _timed(served: Served, inputs: List[List[Array]], session: Optional[Session]) -> Any:
        begin = time.perf_counter()
        results = served.run_all(inputs, session)
        return results, time.perf_counter() - begin

    def _finish(self, ended: Any) -> None:
        """Answer the requests of a run."""
        results, seconds = ended
        batch, self._running = self._running, []
        served = batch[0].served
        self._row.run(served.index, seconds, len(batch))
        self.now = time.monotonic()
        for request, result in zip(batch, results):
            if not request.connection.is_open:
                continue
            if isinstance(result, Exception):
                self._refuse(request, _refused(result))
            else:
                self._answer(request, result)

    def _answer(self, request: Request, outputs: Any) -> None:
        served = request.served
        connection = request.connection
        try:
            text, tail = protocol.answer(served.name, request.plan, served.output_names, outputs)
        except MemoryError as error:
            self._refuse(request, _refused(error))
            return
        close = connection.closes
        self._row.request(served.index, 200, self.now - request.arrived)
        if tail:
            headers = b"Inference-Header-Content-Length: %d\r\n" % len(text)
            size = sum(map(len, tail))
            start = http.response(200, text, kind=http.BINARY, headers=headers, close=close, more=size)
            pieces = [b"".join([start, *tail])] if size < 1 << 14 else [start, *tail]
        else:
            pieces = [http.response(200, text, close=close)]
        connection.answer(pieces, close=close)
        if self.settings.log_requests:
            self._log("info", request, 200)
        connection.resume()

    def _refuse(self, request: Request, error: Refused) -> None:
        self._row.request(request.served.index, error.status, self.now - request.arrived)
        if error.status >= 500 or self.settings.log_requests:
            self._log("error", request, error.status, error=error.text)
        request.connection.refuse(error)
        request.connection.resume()

    def _log(self, level: str, request: Request, status: int, **facts: Any) -> None:
        milliseconds = round(1000 * (self.now - request.arrived), 3)
        id_ = {} if request.plan.id is None else {"id": request.plan.id}
        log(level, "request", model=request.served.name, status=status, milliseconds=milliseconds, **id_, **facts)

    # ---- the loop ----

    def serve(self) -> int:
        """Serve until the channel ends and everything taken is answered; returns the exit code."""
        channel = self._channel.fileno()
        for descriptor in (channel, self._computing.ended):
            self.poll.register(descriptor, select.EPOLLIN)
        self._computing.give(self._load)
        swept = self.now
        timeout: Optional[float] = _SWEEP
        while not self._is_done():
            events = self._wait(_SWEEP if timeout is None else min(timeout, _SWEEP))
            self.now = time.monotonic()
            accepts = False
            for descriptor, mask in events:
                connection = self._connections.get(descriptor) or self._leaving.get(descriptor)
                if connection is not None:
                    connection.on_event(mask)
                elif descriptor == channel:
                    accepts = True  # after all else: one that has closed may give its number to a new one
                elif descriptor == self._computing.ended:
                    self._ended()
            if accepts:
                self._accept()
            unfinished, self._unfinished = self._unfinished, []
            for connection in unfinished:
                connection.resume()
            timeout = self._work()
            if self._unfinished:
                timeout = 0.0
            if self.now > swept + _SWEEP:
                swept = self.now
                self._sweep()
        self._row.gauge("state", metrics.GONE)
        if self._failure:
            raise self._failure
        return 0

    def _wait(self, timeout: float) -> List[Tuple[int, int]]:
        """Events, or none after so many seconds.

        A processor that sleeps takes its time to wake up, a virtual one up to 0.2 ms. Where that matters it stays awake
        between requests that follow each other closely, unless a run needs it.
        """
        if self.settings.busy_poll and not self._computing.is_busy:
            until = time.monotonic() + min(timeout, self.settings.busy_poll)
            while True:
                events = self.poll.poll(0, _EVENTS)
                if events:
                    return events
                if time.monotonic() >= until:
                    break
        return self.poll.poll(timeout, _EVENTS)

    def _is_done(self) -> bool:
        if self._failure:
            return True
        if not self._is_closing:
            return False
        for connection in [each for each in self._connections.values() if each.is_idle]:
            connection.close()
        return not self._connections or self.now > self._closes_at

    def _load(self) -> Any:
        loaded = []
        try:
            for index, name in enumerate(self._names):
                served, reason = models.load(name, index, self.settings)
                loaded.append(served)
                if reason:
                    log("warning", "no batching", model=name, reason=reason)
        except AotError as error:
            return error
        return loaded

    def _ended(self) -> None:
        """A job of the other thread has ended: a run, or the loading of the models."""
        result = self._computing.take()
        if self._running:
            self._finish(result)
        elif isinstance(result, AotError):
            self._failure = result
        else:
            self._models = {served.name: served for served in result}
            self._row.gauge("state", metrics.READY)
            gc.collect()
            gc.freeze()

    def _accept(self) -> None:
        """Take the connections that the supervisor sends; it ends the channel when no more come."""
        for _ in range(64):
            try:
                message, ancillary, _flags, _address = self._channel.recvmsg(1, _socket.CMSG_SPACE(4))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                message, ancillary = b"", []
            if not message:
                self._is_closing = True
                self._closes_at = self.now + self.settings.grace
                self.poll.unregister(self._channel.fileno())
                return
            for _level, _kind, data in ancillary:
                for (descriptor,) in struct.iter_unpack("i", data):
                    self._welcome(_socket.socket(fileno=descriptor))

    def _welcome(self, socket: Any) -> None:
        socket.setblocking(False)
        if len(self._connections) >= self.settings.max_connections and not self._make_room():
            self._turn_away(socket)
            return
        self._row.count("accepted")
        self._connections[socket.fileno()] = Connection(self, socket, self.now)
        self._row.gauge("connections", len(self._connections))

    def _turn_away(self, socket: Any) -> None:
        """Answer a client of too many, which may be in the middle of its request."""
        if len(self._leaving) >= _LEAVING:
            next(iter(self._leaving.values())).close()
        connection = self._leaving[socket.fileno()] = Connection(self, socket, self.now)
        connection.refuse(Refused(503, f"{len(self._connections)} connections are open", _AGAIN, close=True))

    def _make_room(self) -> bool:
        """End the connection that has been idle for longest; if none is, the one whose head is the slowest to come."""
        found = [each for each in self._connections.values() if each.is_idle]
        if not found:
            slow = self.now - _SLOW_HEAD
            found = [each for each in self._connections.values() if each.has_half_a_head and each.since < slow]
        if found:
            min(found, key=lambda each: each.since).close()
        return bool(found)

    def _sweep(self) -> None:
        """End connections whose clients are too slow, and sequences that nobody goes on with."""
        self._sequences.sweep(self.now)
        self._row.gauge("sequences", len(self._sequences))
        for connection in [*self._connections.values(), *self._leaving.values()]:
            if connection.expires and connection.expires < self.now and connection.time_out():
                self._row.count("timeouts")


def _late(request: Request) -> Refused:
    """The answer to a request that waited too long."""
    return Refused(504, f"no time to run it within {request.deadline - request.arrived:.3g} s")


def _refused(error: Exception) -> Refused:
    """What a client is told of a failed run."""
    text = "\n".join(error.lines) if isinstance(error, AotError) else f"{type(error).__name__}: {error}"
    return Refused(400 if isinstance(error, UsageError) else 500, text)


def run(settings: Settings, names: Sequence[str], board: Board, number: int, channel: Any) -> int:
    """Be a worker; returns the exit code. Raises AotError when a model cannot be loaded."""
    gc.enable()  # the process lives on, unlike that of other commands
    # Everything stands still for 0.15 ms of it; with the usual 700 that is one request of 400.
    gc.set_threshold(_OBJECTS)
    return Worker(settings, names, board, number, channel).serve()
