"""Sequences of requests that share a state: the protocol's `sequence_id`, each a session of its model.

They are in the memory of one worker, so a server of several has none.
"""

from __future__ import annotations

from aotrun.serving.http import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional, Tuple, Union

    from aotrun.library.model import Session
    from aotrun.serving.models import Served

    Name = Tuple[int, Union[int, str]]


class Sequences:
    """Those that are under way.

    Args:
        most: at one time.
        idle: seconds after which one without requests is gone.
        is_served: whether there are any.
    """

    def __init__(self, most: int, idle: float, *, is_served: bool) -> None:
        self._most = most
        self._idle = idle
        self._is_served = is_served
        self._sessions: Dict[Name, Tuple[Session, float]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def session(self, served: Served, parameters: Mapping[str, Any], now: float) -> Optional[Session]:
        """The session of a request, made or ended as it says; None for one that is of no sequence. Raises Refused."""
        id_ = parameters.get("sequence_id")
        if id_ in (None, 0, ""):
            return None
        if isinstance(id_, bool) or not isinstance(id_, (int, str)):
            raise Refused(400, "sequence_id is neither a number nor a string")
        if not served.has_state:
            raise Refused(400, f"{served.name} has no state that a sequence could keep")
        if not self._is_served:
            raise Refused(400, "sequences are in the memory of one worker: start the server with --workers 1")
        name = served.index, id_
        begins, ends = _flag(parameters, "sequence_start"), _flag(parameters, "sequence_end")
        if begins:
            self._begin(served, name)
        if name not in self._sessions:
            raise Refused(400, f"no sequence {id_!r}: its first request has sequence_start, and an idle one ends")
        session = self._sessions[name][0]
        if ends:
            del self._sessions[name]  # what waits holds on to it
        else:
            self._sessions[name] = session, now
        return session

    def _begin(self, served: Served, name: Name) -> None:
        if name not in self._sessions and len(self._sessions) >= self._most:
            raise Refused(429, f"{len(self._sessions)} sequences are under way", b"Retry-After: 1\r\n")
        self._sessions[name] = served.model.session(), 0.0

    def sweep(self, now: float) -> None:
        """Forget those that nobody goes on with."""
        for name, (_, used) in list(self._sessions.items()):
            if used + self._idle < now:
                del self._sessions[name]


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise Refused(400, f"{name} is neither true nor false")
    return value
