"""An export ends with the process that asked for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from aotpack.exporting.worker import asker

FOLDER = Path(asker.__file__).parent

WORKER = f"""
import sys, subprocess, time
sys.path.insert(0, {str(FOLDER)!r})
import asker
asker.end_with(0)
compiler = subprocess.Popen(["sleep", "1000"])
print(compiler.pid, flush=True)
print(sys.stdin.readline(), end="", flush=True)
time.sleep(1000)
"""


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_worker_and_compilers_end_when_the_asking_process_is_killed() -> None:
    command = [sys.executable, "-c", WORKER]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert worker.stdin is not None
    assert worker.stdout is not None
    compiler = int(worker.stdout.readline())
    worker.stdin.write(b"a request\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == b"a request\n", "requests are read all the same"
    assert worker.poll() is None
    assert is_there(compiler)
    worker.stdin.close()  # as the system does to a process that is killed
    assert worker.wait(60) == -9
    worker.stdout.close()
    for _ in range(100):
        if not is_there(compiler):
            break
        time.sleep(0.1)
    assert not is_there(compiler)


def test_one_that_was_started_by_hand_takes_nobody_along() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None
    assert worker.stdout is not None
    compiler = int(worker.stdout.readline())
    worker.stdin.close()
    assert worker.wait(60) == -9
    worker.stdout.close()
    os.kill(compiler, 9)
