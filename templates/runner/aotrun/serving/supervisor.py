"""The process that listens: it hands connections to workers, replaces those that die, and ends them all in order."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the signal module is not among what travels
import _socket
import errno
import os
import select
import struct
import time

from aotrun.errors import AotError, UsageError
from aotrun.serving import files, metrics, worker
from aotrun.serving.logs import log
from aotrun.serving.metrics import Board

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence

    from aotrun.serving.settings import Settings

_BACKLOG = 1024
#: Files that a process of the server has open besides its connections; and the supervisor one a worker.
_OWN_FILES = 64
#: Seconds between two starts of a worker that keeps dying.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Seconds until it is tried again to hand over a connection.
_HELD = 0.005
#: A worker that has lived for so long was no failed start.
_LIVED = 10.0


class Child:
    """A worker as the supervisor sees it.

    Attributes:
        process: its id; 0 while there is none.
        channel: a socket that takes connections to it.
        started: when.
        pause: before the next start.
    """

    def __init__(self) -> None:
        self.process = 0
        self.channel: Any = None
        self.started = 0.0
        self.pause = 0.0
        self.was_ready = False


class Supervisor:
    """Listens and keeps workers.

    Args:
        settings: limits.
        names: of the models that are served.
        report: says on standard error why a worker could not start.
    """

    def __init__(self, settings: Settings, names: Sequence[str], report: Callable[[AotError], None]) -> None:
        self._settings = settings
        self._names = list(names)
        self._report = report
        self._listener = _listen(settings.host, settings.port)
        self._board = Board(settings.workers, names)
        self._children = [Child() for _ in range(settings.workers)]
        self._poll = select.epoll()
        self._mask = 0  # of the listener
        self._held: Any = None  # a connection that no worker had room to be told of
        self._signals: List[int] = []
        self._ends_at: Optional[float] = None
        self._failed = 0

    def serve(self) -> int:
        """Serve until a signal ends it; returns the exit code."""
        woken, waker = os.pipe()
        for descriptor in (woken, waker):
            os.set_blocking(descriptor, False)
        _signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGCHLD):
            _signal.signal(number, self._signalled)
        address = self._listener.getsockname()
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        log("info", "listening", url=f"http://{host}:{address[1]}", models=self._names, workers=len(self._children))
        self._fit_into_the_limit_of_files()
        self._poll.register(woken, select.EPOLLIN)
        self._poll.register(self._listener.fileno(), 0)
        while self._listener is not None:
            self._start_missing()
            self._listen_if_served()
            for descriptor, _mask in self._poll.poll(self._timeout()):
                if descriptor == woken:
                    os.read(woken, 512)
                else:
                    self._accept()
            if self._held is not None:
                self._accept()
            self._note_ready()
            self._bury()
            self._obey()
        return self._end()

    def _fit_into_the_limit_of_files(self) -> None:
        """Connections beyond it could not even be told that there are too many."""
        own = _OWN_FILES + len(self._children)
        most = max(1, files.allow(self._settings.max_connections + own) - own)
        if most < self._settings.max_connections:
            self._settings.max_connections = most
            log("warning", "few files", max_connections=most, reason="the limit of open files (ulimit -n)")

    # ---- workers ----

    def _start_missing(self) -> None:
        now = time.monotonic()
        for number, child in enumerate(self._children):
            if child.process == 0 and now >= child.started + child.pause and not self._board.is_ending:
                self._start(number, child)

    def _start(self, number: int, child: Child) -> None:
        """Fork a worker. Where there is no process, memory or file for it, the others go on, and it is tried again."""
        self._board.rows[number].reset()
        child.was_ready = False
        child.started = time.monotonic()
        channels: List[Any] = []
        try:
            channels += _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            for channel in channels:
                channel.setblocking(False)
            child.process = os.fork()
        except OSError as error:
            for channel in channels:
                channel.close()
            child.pause = _longer(child.pause)
            log("error", "cannot start worker", error=str(error), again_in_s=child.pause)
            return
        ours, theirs = channels
        if child.process == 0:
            ours.close()
            self._become_worker(number, theirs)
        theirs.close()
        child.channel = ours

    def _become_worker(self, number: int, channel: Any) -> None:
        """In the fork: let go of all that is the supervisor's, and never come back."""
        code = 1
        try:
            _signal.set_wakeup_fd(-1)
            for which in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT):
                # A terminal and an init system tell all of a group; a worker ends with its channel, and not before.
                _signal.signal(which, _signal.SIG_IGN)
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            self._listener.close()
            if self._held is not None:
                self._held.close()
            self._poll.close()
            for child in self._children:
                if child.channel is not None:
                    child.channel.close()
            code = worker.run(self._settings, self._names, self._board, number, channel)
        except AotError as error:
            code = error.exit_code
            self._report(error)
        except BaseException as error:  # noqa: BLE001  a fork must end here
            log("error", "worker failed", error=f"{type(error).__name__}: {error}", at=_place(error))
        finally:
            os._exit(code)

    def _note_ready(self) -> None:
        for child, row in zip(self._children, self._board.rows):
            if child.process and not child.was_ready and row.get("state") == metrics.READY:
                child.was_ready = True
                log("info", "worker ready", worker=child.process)

    def _bury(self) -> None:
        """Look for workers that have ended."""
        while any(child.process for child in self._children):
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            for child in self._children:
                if child.process == process:
                    self._lost(child, status)

    def _lost(self, child: Child, status: int) -> None:
        number = self._children.index(child)
        row = self._board.rows[number]
        was_ready = child.was_ready or row.get("state") == metrics.READY
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = 0 if killed else os.WEXITSTATUS(status)
        log("error", "worker died", worker=child.process, signal=killed, code=code)
        row.reset()
        child.process = 0
        if child.channel is not None:  # closed already when another could not start
            child.channel.close()
            child.channel = None
        if code and not was_ready:
            # It has said why, and the next would say the same.
            self._failed = code
            self._close()
            return
        self._board.replaced()
        lived = time.monotonic() - child.started
        child.pause = 0.0 if lived > _LIVED else _longer(child.pause)
        child.started = time.monotonic()

    # ---- connections ----

    def _accept(self) -> None:
        if self._held is not None and not self._hand_over(self._held):
            return
        for _ in range(64):
            try:
                descriptor, _address = self._listener._accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log("error", "cannot accept", error=str(error))
                time.sleep(0.05)  # no more files or memory: it would fail again at once
                return
            socket = _socket.socket(fileno=descriptor)
            if socket.family != _socket.AF_UNIX:
                socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            if not self._hand_over(socket):
                return

    def _listen_if_served(self) -> None:
        """Leave connections in the kernel's queue while there is no worker to take them."""
        is_served = self._held is None and any(child.channel is not None for child in self._children)
        mask = select.EPOLLIN if is_served else 0
        if mask != self._mask:
            self._mask = mask
            self._poll.modify(self._listener.fileno(), mask)

    def _hand_over(self, socket: Any) -> bool:
        """Give a connection to the worker with the fewest; one that is ready, if any is. Without any it is held."""
        order = []
        for index, (child, row) in enumerate(zip(self._children, self._board.rows)):
            if child.channel is not None:
                order.append((row.get("state") != metrics.READY, row.get("connections"), index))
        for _state, connections, index in sorted(order):
            try:
                rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", socket.fileno()))]
                self._children[index].channel.sendmsg([b"\0"], rights)
            except OSError:
                continue
            # Several come before the worker counts them itself.
            self._board.rows[index].gauge("connections", connections + 1)
            socket.close()
            self._held = None
            return True
        # They come faster than they are taken, or the worker has just died.
        self._held = socket
        return False

    # ---- the end ----

    def _signalled(self, number: int, _frame: Any) -> None:
        self._signals.append(number)

    def _timeout(self) -> float:
        pending = [self._ends_at] if self._ends_at is not None else []
        pending += [child.started + child.pause for child in self._children if child.process == 0]
        if self._held is not None:
            pending.append(time.monotonic() + _HELD)
        nearest = min(pending, default=time.monotonic() + 1.0) - time.monotonic()
        return max(0.0, min(nearest, 1.0 if all(child.was_ready for child in self._children) else 0.05))

    def _obey(self) -> None:
        signals, self._signals = self._signals, []
        now = time.monotonic()
        for number in signals:
            if number == _signal.SIGCHLD:
                continue
            # A second one is impatient, and so is whoever sits at the terminal.
            drain = 0.0 if self._ends_at is not None or number == _signal.SIGINT else self._settings.drain
            log("info", "ending", signal=number, drain_s=drain)
            self._board.end()
            self._ends_at = now + drain
        if self._ends_at is not None and now >= self._ends_at:
            self._close()

    def _close(self) -> None:
        """No more connections from now on."""
        self._board.end()
        if self._listener is not None:
            if not self._failed:
                self._accept()  # those that the kernel has taken in our name
            self._poll.unregister(self._listener.fileno())
            self._listener.close()
            self._listener = None
        if self._held is not None:  # nobody to serve it: closed, as by a server that is not there
            self._held.close()
            self._held = None
        for child in self._children:
            if child.channel is not None:
                child.channel.close()
                child.channel = None

    def _end(self) -> int:
        """Wait for the workers, which end when they have answered everybody."""
        deadline = time.monotonic() + self._settings.grace + 1
        waiting: Dict[int, Child] = {child.process: child for child in self._children if child.process}
        while waiting:
            time.sleep(0.02)
            process, status = os.waitpid(-1, os.WNOHANG)
            if process:
                waiting.pop(process, None)
                if os.WIFSIGNALED(status):
                    log("error", "worker died", worker=process, signal=os.WTERMSIG(status), code=0)
                continue
            impatient = any(number != _signal.SIGCHLD for number in self._signals)
            if self._failed or impatient or time.monotonic() > deadline:
                for each in waiting:
                    os.kill(each, _signal.SIGKILL)
                deadline = time.monotonic() + 60
                self._signals = []
        log("info", "ended", code=self._failed)
        return self._failed


def _longer(pause: float) -> float:
    """The pause after one more failed start."""
    return min(max(2 * pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def _place(error: BaseException) -> str:
    """Where an error of our own came from."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _listen(host: str, port: int) -> Any:
    """A listening socket. Raises UsageError."""
    numeric = "127.0.0.1" if host == "localhost" else host
    family = _socket.AF_INET6 if ":" in numeric else _socket.AF_INET
    try:
        _socket.inet_pton(family, numeric)
    except OSError:
        raise UsageError(
            f"--host {host}",
            "It is an address of this machine, in numbers.",
            "Give 127.0.0.1, ::1, or 0.0.0.0 for all.",
        ) from None
    listener = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        listener.bind((numeric, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        fix = "Stop what listens there, or choose another --port; 0 is any that is free."
        if isinstance(error, OSError) and error.errno == errno.EACCES:
            fix = "Ports below 1024 are for root; choose another --port."
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{host} port {port}: {what}", "The server cannot listen there.", fix) from None
    return listener
