"""Counts of workers in shared memory, and Prometheus' text."""

from __future__ import annotations

import os
import re

from aotrun.serving import metrics
from aotrun.serving.metrics import Board

#: A sample of the exposition format: a name, labels, a number.
SAMPLE = re.compile(r'^[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$')


def values(board: Board) -> dict[str, float]:
    """The samples by name and labels; every line is one, or a comment of its family."""
    found = {}
    for line in board.text().splitlines():
        if not line.startswith("#"):
            assert SAMPLE.match(line), line
            name, _, value = line.rpartition(" ")
            assert name not in found
            found[name] = float(value)
    return found


def test_counts_of_processes_add_up() -> None:
    board = Board(2, ["a", 'b"c'])
    child = os.fork()
    if child == 0:
        board.rows[1].request(1, 200, 0.0003)
        board.rows[1].request(1, 504, 3.0)
        board.rows[1].gauge("state", metrics.READY)
        os._exit(0)
    os.waitpid(child, 0)
    board.rows[0].request(1, 200, 20.0)
    board.rows[0].run(0, 0.002, 3)
    board.rows[0].count("refused")
    seen = values(board)
    assert seen[r'aotrun_requests_total{model="b\"c",status="200"}'] == 2
    assert seen[r'aotrun_requests_total{model="b\"c",status="504"}'] == 1
    assert seen[r'aotrun_request_seconds_bucket{model="b\"c",le="0.00025"}'] == 0
    assert seen[r'aotrun_request_seconds_bucket{model="b\"c",le="0.0005"}'] == 1
    assert seen[r'aotrun_request_seconds_bucket{model="b\"c",le="10.0"}'] == 1
    assert seen[r'aotrun_request_seconds_bucket{model="b\"c",le="+Inf"}'] == 2
    assert seen[r'aotrun_request_seconds_count{model="b\"c"}'] == 2
    assert seen[r'aotrun_request_seconds_sum{model="b\"c"}'] == 20.0003
    assert seen['aotrun_run_seconds_count{model="a"}'] == 1
    assert seen['aotrun_run_requests_total{model="a"}'] == 3
    assert seen["aotrun_refused_total"] == 1
    assert seen["aotrun_ready"] == 1


def test_a_new_worker_goes_on_with_a_dead_ones_counts() -> None:
    board = Board(1, ["a"])
    row = board.rows[0]
    row.gauge("state", metrics.READY)
    row.gauge("connections", 5)
    row.request(0, 200, 0.1)
    assert board.is_ready
    row.reset()
    board.replaced()
    assert not board.is_ready
    seen = values(board)
    assert seen["aotrun_connections"] == 0
    assert seen["aotrun_worker_restarts_total"] == 1
    assert seen['aotrun_requests_total{model="a",status="200"}'] == 1


def test_nobody_is_ready_once_the_server_ends() -> None:
    board = Board(1, [])
    board.rows[0].gauge("state", metrics.READY)
    assert board.is_ready
    board.end()
    assert not board.is_ready
