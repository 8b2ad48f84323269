"""What a server is told by its command line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Optional

_MEGABYTE = 1 << 20


class Settings:
    """Limits and places; times in seconds, sizes in bytes.

    Attributes:
        host, port: where to listen; port 0 is any that is free.
        workers: processes.
        device: of all models; their own by default.
        threads: of one worker's CPU pool; 0 leaves the runtime's choice.
        max_batch: rows that one run may have; 1 joins no requests.
        max_delay: how long the first request of a batch waits for others.
        busy_poll: how long the processor is kept awake for the next event before it sleeps.
        max_queue: requests of a worker that wait; more are told to come again.
        deadline: how long a request may wait before it runs.
        max_body: of one request.
        max_buffered: of all requests of a worker together.
        max_connections: of a worker.
        max_sequences: under way at one time.
        sequence_idle: how long one may be without a request.
        header_time: for a request's head to arrive.
        body_time: for its body, and for an answer to be taken.
        idle_time: how long a connection stays open without a request.
        drain: how long a server that was told to end takes new requests, while it says that it is not ready.
        grace: how long what was taken may last after that.
        log_requests: a line for each request, instead of failures alone.
    """

    header_time = 10.0
    idle_time = 75.0

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.host: str = values["host"]
        self.port: int = values["port"]
        self.workers: int = values["workers"]
        self.device: Optional[str] = values["device"]
        self.threads: int = values["threads"] or 0
        self.max_batch: int = values["max_batch"]
        self.max_delay: float = values["max_delay_ms"] / 1000
        self.busy_poll: float = values["busy_poll_us"] / 1e6
        self.max_queue: int = values["max_queue"]
        self.deadline: float = values["deadline_ms"] / 1000
        self.max_body: int = values["max_body_mb"] * _MEGABYTE
        self.max_buffered: int = max(1024, values["max_body_mb"]) * _MEGABYTE
        self.max_connections: int = values["max_connections"]
        self.body_time: float = values["body_timeout_s"]
        self.max_sequences: int = values["max_sequences"]
        self.sequence_idle: float = values["sequence_idle_s"]
        self.drain: float = values["drain_s"]
        self.grace: float = values["grace_s"]
        self.log_requests: bool = values["log_requests"]
