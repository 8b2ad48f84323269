"""Heads of requests: what they say, and what is refused because it could be read in two ways."""

from __future__ import annotations

import contextlib
import email.utils

import hypothesis.strategies as st
import pytest
from aotrun.serving import http
from aotrun.serving.http import Refused, parse_head
from hypothesis import given


def test_what_a_head_says() -> None:
    head = parse_head(
        b"POST /v2/models/a%20b/infer?x=1 HTTP/1.1\r\nHOST: h\r\ncontent-LENGTH: 12 \r\n"
        b"Inference-Header-Content-Length: 7\r\nExpect: 100-continue\r\nX-Other: \xff"
    )
    assert (head.method, head.path) == ("POST", "/v2/models/a b/infer")
    assert (head.length, head.json_length) == (12, 7)
    assert head.keep_alive
    assert head.expects_continue


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_stays(version: bytes, connection: bytes, stays: bool) -> None:
    head = parse_head(b"GET / HTTP/" + version + b"\r\n" + connection + b"A: b")
    assert head.keep_alive is stays
    assert (head.length, head.json_length, head.expects_continue) == (0, None, False)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Length: 1\r\nContent-Length: 1", 0),
        (b"Content-Length: 1\r\ncontent-length: 2", 400),
        (b"Content-Length: +1", 400),
        (b"Content-Length: 1_0", 400),
        (b"Content-Length: 0x1", 400),
        (b"Content-Length: ", 400),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked", 411),
        (b"Content-Length : 1", 400),
        (b" Content-Length: 1", 400),
        (b"A: b\r\n c", 400),
        (b"A: b\nContent-Length: 1", 400),
        (b"A: b\rc", 400),
        (b"A: b\0", 400),
        (b": b", 400),
        (b"Host: a\r\nHost: b", 400),
    ],
)
def test_heads_that_could_be_read_in_two_ways(lines: bytes, status: int) -> None:
    if not status:
        assert parse_head(b"POST / HTTP/1.1\r\n" + lines).length == 1
        return
    with pytest.raises(Refused) as refused:
        parse_head(b"POST / HTTP/1.1\r\n" + lines)
    assert refused.value.status == status
    assert refused.value.close  # nobody knows where the next request begins


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: b"GET /v2 HTTP/1.1\r\n" + rest))
def test_any_bytes_are_a_head_or_are_refused(head: bytes) -> None:
    with contextlib.suppress(Refused):
        assert parse_head(head).path.startswith("/")


def test_answers_have_a_head_of_their_own_size() -> None:
    answer = http.response(200, b"{}", more=3, close=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in head
    assert b"Connection: close" in head
    assert body == b"{}"
    refusal = http.refusal(Refused(429, 'a "b"', b"Retry-After: 1\r\n"), close=False)
    assert refusal.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert refusal.endswith(b'Retry-After: 1\r\n\r\n{"error": "a \\"b\\""}')


def test_dates_are_those_of_the_standard() -> None:
    for second in (0, 951_782_400, 1_764_400_000):
        assert http.date(second).decode() == email.utils.formatdate(second, usegmt=True)


@pytest.mark.parametrize("target", [b"/v2\nX: y", b"/v2\rX:", b"/v2\x00", b"/v2\t", b"/v2/\xc3\xa4"])
def test_a_target_that_others_may_read_as_two_lines_is_refused(target: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_head(b"GET %b HTTP/1.1\r\nHost: h" % target)
    assert refused.value.status == 400
    assert refused.value.close
