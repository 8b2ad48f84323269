"""What Prometheus is told: counts of all workers, in memory that they share.

Each worker has a row of its own, so that no count needs a lock; a worker that takes a dead one's place goes on with its
row, so that no count falls.
"""

from __future__ import annotations

import ctypes
import os

from aotrun.serving.http import STATUSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Sequence, Tuple

#: Upper bounds in seconds; the last one has none.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SHARED_ANONYMOUS = 0x21
_READ_WRITE = 3
#: Of a worker.
LOADING, READY, GONE = 0.0, 1.0, 2.0
_GAUGES = ("state", "connections", "queued", "sequences")
_COUNTS = ("refused", "timeouts", "cancelled", "accepted")
_HISTOGRAM = len(BUCKETS) + 2  # the bucket without a bound, and the sum


def _shared(count: int) -> Any:
    """So many zeros that forks of this process share."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    address = libc.mmap(None, 8 * count, _READ_WRITE, _SHARED_ANONYMOUS, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return (ctypes.c_double * count).from_address(address)


class Row:
    """The counts of one worker, by place."""

    __slots__ = ("_at", "_board", "_models")

    def __init__(self, board: Board, worker: int) -> None:
        self._board = board.values
        self._at = board.first + worker * board.width
        self._models = self._at + len(_GAUGES) + len(_COUNTS)

    def gauge(self, name: str, value: float) -> None:
        """Set one of the values that come and go."""
        self._board[self._at + _GAUGES.index(name)] = value

    def get(self, name: str) -> float:
        """One of these values."""
        value: float = self._board[self._at + _GAUGES.index(name)]
        return value

    def count(self, name: str) -> None:
        """One more of a kind of event."""
        self._board[self._at + len(_GAUGES) + _COUNTS.index(name)] += 1

    def request(self, model: int, status: int, seconds: float) -> None:
        """An answer of a model: `seconds` from the request's last byte on."""
        at = self._models + model * _MODEL
        self._board[at + _STATUS_AT[status]] += 1
        if status == 200:
            _observe(self._board, at + len(STATUSES), seconds)

    def run(self, model: int, seconds: float, requests: int) -> None:
        """A run of a model, and for how many requests."""
        at = self._models + model * _MODEL + len(STATUSES) + _HISTOGRAM
        _observe(self._board, at, seconds)
        self._board[at + _HISTOGRAM] += requests

    def reset(self) -> None:
        """What a dead worker had is gone."""
        for name in _GAUGES:
            self.gauge(name, 0)


_STATUS_AT = {status: index for index, status in enumerate(STATUSES)}
#: Statuses, seconds of requests, seconds of runs, requests in runs.
_MODEL = len(STATUSES) + 2 * _HISTOGRAM + 1


def _observe(values: Any, at: int, seconds: float) -> None:
    for index, bound in enumerate(BUCKETS):
        if seconds <= bound:
            values[at + index] += 1
            break
    else:
        values[at + len(BUCKETS)] += 1
    values[at + len(BUCKETS) + 1] += seconds


class Board:
    """The counts of all workers.

    Attributes:
        values: shared numbers: of the server, then a row for each worker.
        first: where the rows begin.
        width: of one.
    """

    first = 2

    def __init__(self, workers: int, models: Sequence[str]) -> None:
        self._models = list(models)
        self.width = len(_GAUGES) + len(_COUNTS) + _MODEL * len(models)
        self.values = _shared(self.first + workers * self.width)
        self.rows = [Row(self, worker) for worker in range(workers)]

    @property
    def is_ending(self) -> bool:
        """Whether the server was told to end."""
        return bool(self.values[0])

    def end(self) -> None:
        """From now on no probe finds the server ready."""
        self.values[0] = 1

    def replaced(self) -> None:
        """A worker died and another takes its place."""
        self.values[1] += 1

    @property
    def is_ready(self) -> bool:
        """Whether requests are served: somewhere, and for longer."""
        return not self.is_ending and any(row.get("state") == READY for row in self.rows)

    def _sum(self, offset: int) -> float:
        total: float = sum(self.values[self.first + index * self.width + offset] for index in range(len(self.rows)))
        return total

    def text(self) -> str:
        """The exposition format of Prometheus, version 0.0.4."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _family("aotrun_ready", "gauge", "Whether the server takes requests.", [("", int(self.is_ready))])
        restarts = [("", self.values[1])]
        yield from _family("aotrun_worker_restarts_total", "counter", "Workers that died and were replaced.", restarts)
        for name, kind, text, offset in (
            ("connections", "gauge", "Open connections.", 1),
            ("queued_requests", "gauge", "Requests that wait for a run.", 2),
            ("sequences", "gauge", "Sequences with a state.", 3),
            ("refused_total", "counter", "Requests told to come again, with status 429.", 4),
            ("timeouts_total", "counter", "Connections that were too slow.", 5),
            ("cancelled_total", "counter", "Requests whose client left before they ran.", 6),
            ("connections_total", "counter", "Connections accepted.", 7),
        ):
            yield from _family(f"aotrun_{name}", kind, text, [("", self._sum(offset))])
        requests: List[Tuple[str, float]] = []
        histograms: Dict[str, List[Tuple[str, int]]] = {"request": [], "run": []}
        joined: List[Tuple[str, float]] = []
        for index, model in enumerate(self._models):
            at = len(_GAUGES) + len(_COUNTS) + index * _MODEL
            label = f'model="{_escaped(model)}"'
            for offset, status in enumerate(STATUSES):
                total = self._sum(at + offset)
                if total or status == 200:
                    requests.append((f'{{{label},status="{status}"}}', total))
            histograms["request"].append((label, at + len(STATUSES)))
            histograms["run"].append((label, at + len(STATUSES) + _HISTOGRAM))
            joined.append((f"{{{label}}}", self._sum(at + len(STATUSES) + 2 * _HISTOGRAM)))
        yield from _family("aotrun_requests_total", "counter", "Answers of a model, by status.", requests)
        yield from self._histogram("aotrun_request_seconds", "From a request's last byte on.", histograms["request"])
        yield from self._histogram("aotrun_run_seconds", "Of the model itself.", histograms["run"])
        yield from _family("aotrun_run_requests_total", "counter", "Requests that went into runs.", joined)

    def _histogram(self, name: str, text: str, places: Sequence[Tuple[str, int]]) -> Iterator[str]:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} histogram"
        for label, at in places:
            total = 0.0
            for index, bound in enumerate((*BUCKETS, "+Inf")):
                total += self._sum(at + index)
                yield f'{name}_bucket{{{label},le="{bound}"}} {total:.0f}'
            yield f"{name}_sum{{{label}}} {self._sum(at + len(BUCKETS) + 1):.9g}"
            yield f"{name}_count{{{label}}} {total:.0f}"


def _family(name: str, kind: str, text: str, samples: Sequence[Tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value:.0f}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
