"""HTTP/1.1, as much of it as a server of JSON and tensors needs: heads of requests in, responses out. Pure.

Where a head could be read in two ways it is refused, so that no proxy in front sees other requests in it than we do.
"""

from __future__ import annotations

import time

from aotrun.formats.documents import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

#: Bytes.
MAX_HEAD = 16 << 10
JSON = b"application/json"
BINARY = b"application/octet-stream"
_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    411: b"Length Required",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}
#: Answers that a metric counts one by one.
STATUSES = tuple(_REASONS)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WANTED = frozenset(
    b"host content-length transfer-encoding content-encoding inference-header-content-length connection expect".split()
)
_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


class Refused(Exception):  # noqa: N818  it is an answer
    """A request that gets an error for an answer.

    Args:
        status: of HTTP.
        text: what is wrong.
        headers: more lines of the answer's head, each with its end.
        close: whether the connection ends with the answer, because what follows cannot be told apart.
    """

    def __init__(self, status: int, text: str, headers: bytes = b"", *, close: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers
        self.close = close


class Head:
    """What a request's head says.

    Attributes:
        method: `GET`, `POST`, ...
        path: without the query, percent-decoded.
        length: bytes of the body.
        json_length: of the body's beginning that is JSON, where tensors follow; else None.
        keep_alive: whether the connection stays open.
        expects_continue: whether the client waits for leave to send the body.
    """

    __slots__ = ("expects_continue", "json_length", "keep_alive", "length", "method", "path")

    def __init__(self, method: str, path: str, fields: Dict[bytes, bytes], *, is_old: bool) -> None:
        self.method = method
        self.path = path
        self.length = _size(fields.get(b"content-length", b"0"), "Content-Length")
        json_length = fields.get(b"inference-header-content-length")
        self.json_length = None if json_length is None else _size(json_length, "Inference-Header-Content-Length")
        connection = fields.get(b"connection", b"").lower()
        self.keep_alive = b"keep-alive" in connection if is_old else b"close" not in connection
        self.expects_continue = b"expect" in fields


def parse_head(head: bytes) -> Head:
    """A head without the empty line that ends it. Raises Refused."""
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or not words[0] or not _TOKEN.issuperset(words[0]) or not words[2].startswith(b"HTTP/"):
        raise Refused(400, "the first line is no request of HTTP/1.1", close=True)
    if words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refused(505, "this server speaks HTTP/1.1", close=True)
    fields: Dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name) or b"\n" in value or b"\r" in value or b"\0" in value:
            raise Refused(400, "a header line is malformed", close=True)
        name = name.lower()
        if name not in _WANTED:
            continue
        value = value.strip(b" \t")
        if fields.setdefault(name, value) != value and name != b"connection":
            raise Refused(400, f"{name.decode()} is given twice", close=True)
    return _head(words, fields)


def _head(words: List[bytes], fields: Dict[bytes, bytes]) -> Head:
    if b"transfer-encoding" in fields:
        # With a length beside it, it is a request smuggled past a proxy.
        raise Refused(411, "send Content-Length; Transfer-Encoding is not read here", close=True)
    if fields.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise Refused(415, "send the body as it is; Content-Encoding is not read here", close=True)
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise Refused(417, "Expect: 100-continue is the only expectation known here", close=True)
    target = words[1].partition(b"?")[0]
    if not target.startswith(b"/") or not words[1].isascii() or not words[1].decode("ascii").isprintable():
        raise Refused(400, "the target of a request is a path", close=True)
    return Head(words[0].decode("ascii"), _decoded(target), fields, is_old=words[2] == b"HTTP/1.0")


def _size(text: bytes, name: str) -> int:
    # int() itself takes signs and underscores.
    if not text.isdigit() or len(text) > 15:
        raise Refused(400, f"{name} is no number of bytes", close=True)
    return int(text)


def _decoded(target: bytes) -> str:
    first, *rest = target.split(b"%")
    pieces = [first]
    try:
        for piece in rest:
            pieces += [bytes.fromhex(piece[:2].decode("ascii")), piece[2:]]
            if len(piece) < 2:
                raise ValueError
        return b"".join(pieces).decode("utf-8")
    except ValueError:
        raise Refused(400, "the path is not percent-encoded UTF-8", close=True) from None


def response(
    status: int,
    body: bytes,
    *,
    kind: bytes = JSON,
    headers: bytes = b"",
    close: bool = False,
    more: int = 0,
) -> bytes:
    """Head and body of an answer; `more` bytes of body follow it."""
    ending = b"Connection: close\r\n" if close else b""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nDate: %b\r\n%b%b\r\n%b" % (
        status,
        _REASONS[status],
        kind,
        len(body) + more,
        date(int(time.time())),
        headers,
        ending,
        body,
    )


def refusal(error: Refused, *, close: bool) -> bytes:
    """The answer that a refused request gets, in the protocol's form of errors."""
    body = dumps({"error": error.text}).encode("utf-8")
    return response(error.status, body, headers=error.headers, close=close or error.close)


_last_date: Tuple[int, Optional[bytes]] = (0, None)


def date(now: int) -> bytes:
    """A time in HTTP's notation; seconds since 1970."""
    global _last_date  # noqa: PLW0603  the same for thousands of answers
    second, text = _last_date
    if second != now or text is None:
        t = time.gmtime(now)
        text = b"%b, %02d %b %d %02d:%02d:%02d GMT" % (
            (_DAYS[t.tm_wday], t.tm_mday, _MONTHS[t.tm_mon - 1], t.tm_year, t.tm_hour, t.tm_min, t.tm_sec)
        )
        _last_date = now, text
    return text
