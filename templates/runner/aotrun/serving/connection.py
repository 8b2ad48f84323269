"""One client: bytes in, requests to the worker, answers out, one request at a time.

What a client can make a worker hold is bounded: a head, a body within the limits, and an answer that it takes. While a
request is under way nothing more is read than the next head.
"""

from __future__ import annotations

import _socket
import contextlib
import select

from aotrun.serving import http
from aotrun.serving.http import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Protocol, Sequence

    from aotrun.serving.http import Head
    from aotrun.serving.settings import Settings

    class Owner(Protocol):
        """What a connection asks of the loop that it is in; see `worker.Worker`."""

        settings: Settings
        now: float
        poll: select.epoll

        @property
        def is_ending(self) -> bool: ...
        def head(self, text: bytes) -> Head: ...
        def reserve(self, size: int) -> bool: ...
        def release(self, size: int) -> None: ...
        def go_on_later(self, connection: Connection) -> None: ...
        def forget(self, connection: Connection) -> None: ...
        def dispatch(self, connection: Connection, head: Head, body: memoryview) -> None: ...


_CHUNK = 1 << 16
_IN = select.EPOLLIN | select.EPOLLRDHUP
#: A body begins where the first tensor in it comes to lie at a multiple of this, which saves a copy of it.
_ALIGNMENT = 64
#: Requests of a client that sends on without waiting, after which it is the others' turn.
_AT_ONCE = 16
#: Seconds for which a client that is refused in the middle of its request may go on to send.
_LINGERING = 2.0


class Connection:
    """A client's connection.

    Attributes:
        is_busy: whether a request is under way that has no answer yet.
        is_open: whether there is anybody to answer.
        expires: when the client will have been too slow; 0 while it is ours to do something.
        since: when it began to wait for a request.
        is_idle: whether it has nothing under way and nothing half sent.
    """

    def __init__(self, worker: Owner, socket: Any, now: float) -> None:
        self.is_busy = False
        self.is_open = True
        self.expires = now + worker.settings.header_time
        self.since = now
        self.descriptor: int = socket.fileno()
        self._worker = worker
        self._socket = socket
        self._received = bytearray()
        self._head: Head | None = None
        self._body = memoryview(b"")
        self._filled = 0
        self._reserved = 0
        self._unsent: List[memoryview] = []
        self._ends = False  # after the answer
        self._lingers = False  # until the client has read why nobody reads any more
        self._mask = _IN
        worker.poll.register(self.descriptor, _IN)

    @property
    def is_idle(self) -> bool:
        """Whether it could be closed without anybody's loss."""
        return not (self.is_busy or self._lingers or self._received or self._head or self._unsent)

    @property
    def has_half_a_head(self) -> bool:
        """Whether a request has begun to arrive whose head is not whole."""
        return bool(self._received) and not (self.is_busy or self._lingers or self._head or self._unsent)

    def on_event(self, mask: int) -> None:
        """Something happened to the socket."""
        if mask & (select.EPOLLHUP | select.EPOLLERR):
            self.close()
            return
        if mask & select.EPOLLOUT:
            self._flush()
        if self.is_open and mask & _IN:
            try:
                self._read()
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.close()

    def _read(self) -> None:
        if self._lingers:
            if not self._socket.recv(_CHUNK):
                self.close()
            return
        if self._head is not None:
            size = self._socket.recv_into(self._body[self._filled :])
            self._filled += size
            if size and self._filled == len(self._body):
                self._complete()
                return
        else:
            chunk = self._socket.recv(_CHUNK)
            size = len(chunk)
            self._received += chunk
        if size:
            if not self.is_busy:
                self._advance()
            elif len(self._received) > http.MAX_HEAD:
                self._wait_for(0)  # a client that sends on without waiting is read again after its answer
        elif self.is_busy or self._unsent:
            self._ends = True  # one that has said all it will may still wait for its answer
            self._wait_for(0)
        else:
            self.close()

    def _advance(self) -> None:
        """Do what can be done with what has been received."""
        for _ in range(_AT_ONCE):
            if not (self.is_open and self._received) or self.is_busy or self._unsent or self._head:
                return
            try:
                if not self._take_request():
                    return
            except Refused as error:
                self.refuse(error)
        self._worker.go_on_later(self)

    def _take_request(self) -> bool:
        """Take a request out of what was received; False when there is no whole head yet. Raises Refused."""
        received = self._received
        worker = self._worker
        end = received.find(b"\r\n\r\n", 0, http.MAX_HEAD + 4)
        if end < 0:
            if len(received) > http.MAX_HEAD:
                raise Refused(431, f"the head of the request is longer than {http.MAX_HEAD} bytes", close=True)
            if not self.expires or self.expires > worker.now + worker.settings.header_time:
                self.expires = worker.now + worker.settings.header_time
            return False
        head = worker.head(bytes(received[:end]))
        start = end + 4
        if not head.keep_alive:
            self._ends = True
        if head.length > worker.settings.max_body:
            raise Refused(413, f"the body has {head.length} bytes; at most {worker.settings.max_body}", close=True)
        stop = start + head.length
        if len(received) >= stop:
            # Views of the body live as long as its request, so what follows begins a new buffer.
            self._received = received[stop:]
            self._dispatch(head, memoryview(received)[start:stop])
            return True
        if not worker.reserve(head.length):
            raise Refused(429, "this worker holds as many bytes as it may", b"Retry-After: 1\r\n", close=True)
        self._reserved = head.length
        offset = -(head.json_length or 0) % _ALIGNMENT
        try:
            self._body = memoryview(bytearray(offset + head.length))[offset:]
        except MemoryError:
            raise Refused(429, "there is no memory for the body", b"Retry-After: 1\r\n", close=True) from None
        self._head = head
        self._filled = len(received) - start
        self._body[: self._filled] = memoryview(received)[start:]
        self._received = bytearray()
        self.expires = worker.now + worker.settings.body_time
        if head.expects_continue and not self._filled:
            self._send([http.CONTINUE])
        return True

    def _complete(self) -> None:
        head, body = self._head, self._body
        assert head is not None  # noqa: S101
        self._head, self._body = None, memoryview(b"")
        try:
            self._dispatch(head, body)
        except Refused as error:
            self.refuse(error)
        self._advance()

    def _dispatch(self, head: Head, body: memoryview) -> None:
        self.expires = 0.0
        self._worker.dispatch(self, head, body)

    # ---- answers ----

    def refuse(self, error: Refused) -> None:
        """Answer with an error."""
        self._ends = self._ends or error.close
        self._lingers = error.close
        close = self.closes
        self.answer([http.refusal(error, close=close)], close=close)

    @property
    def closes(self) -> bool:
        """Whether the connection is to end with the next answer. Another process may make it so at any moment."""
        return self._ends or self._worker.is_ending

    def answer(self, pieces: Sequence[bytes | memoryview], *, close: bool) -> None:
        """Send an answer; the connection is free for the next request, or ends.

        Args:
            pieces: head and body.
            close: what the head says of it. A client that is not told sends on.
        """
        self._ends = close
        self.is_busy = False
        self._release()
        self._send(pieces)
        if self.is_open and not self._unsent:
            self._answered()

    def resume(self) -> None:
        """Go on with what the client has sent meanwhile."""
        self._advance()

    def _release(self) -> None:
        if self._reserved:
            self._worker.release(self._reserved)
            self._reserved = 0

    def _answered(self) -> None:
        if self._lingers:
            # To close while there is something unread would tear the answer out of the client's hands.
            self._received = bytearray()
            self.expires = self._worker.now + _LINGERING
            try:
                self._socket.shutdown(_socket.SHUT_WR)
                self._wait_for(_IN)
            except OSError:
                self.close()
            return
        if self._ends:
            self.close()
            return
        settings = self._worker.settings
        self.since = self._worker.now
        self.expires = self._worker.now + (settings.header_time if self._received else settings.idle_time)
        self._wait_for(_IN)

    def _send(self, pieces: Sequence[bytes | memoryview]) -> None:
        try:
            sent = self._socket.send(pieces[0]) if len(pieces) == 1 else self._socket.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        if len(pieces) == 1 and sent == len(pieces[0]):
            return
        views = [memoryview(piece).cast("B") for piece in pieces]
        self._unsent = _after(views, sent)
        if self._unsent:
            self.expires = self._worker.now + self._worker.settings.body_time
            self._wait_for(select.EPOLLOUT)

    def _flush(self) -> None:
        try:
            sent = self._socket.sendmsg(self._unsent[:64])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        self._unsent = _after(self._unsent, sent)
        if self._unsent:
            return
        if self._head is not None or self.is_busy:  # it was leave to go on
            self._wait_for(_IN)
            return
        self._answered()
        if self.is_open:
            self._advance()

    def _wait_for(self, mask: int) -> None:
        if mask != self._mask:
            self._mask = mask
            self._worker.poll.modify(self.descriptor, mask)

    def time_out(self) -> bool:
        """End it because of the time; whether the client was too slow. It is told so if it may be reading."""
        was_slow = not (self.is_idle or self._lingers)
        if was_slow and not self._unsent:
            with contextlib.suppress(OSError):
                self._socket.send(http.refusal(Refused(408, "the request did not arrive in time"), close=True))
        self.close()
        return was_slow

    def close(self) -> None:
        """End it, whatever is under way."""
        if self.is_open:
            self.is_open = False
            self._release()
            self._worker.forget(self)
            self._socket.close()


def _after(views: Sequence[memoryview], sent: int) -> List[memoryview]:
    """What is left of some pieces when so many bytes of them are gone."""
    left = []
    for view in views:
        if sent >= len(view):
            sent -= len(view)
        else:
            left.append(view[sent:])
            sent = 0
    return left
