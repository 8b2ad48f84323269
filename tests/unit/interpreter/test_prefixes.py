"""Blanking the build machine's folders out of an interpreter."""

from __future__ import annotations

from aotpack.interpreter.selection import without_prefixes


def test_prefixes_go_and_every_other_byte_stays() -> None:
    content = b"\x7fELF/home/me/py/lib\0/home/me/py\0/home/me/python-build.1/x.c\0tail"
    prefixes = ("/home/me/py", "/home/me/python-build.1")
    blank = without_prefixes(content, prefixes)
    assert len(blank) == len(content)
    assert blank.split(b"\0") == [b"\x7fELF/nowhere////lib", b"/nowhere///", b"/nowhere" + b"/" * 16 + b"x.c", b"tail"]


def test_ordinary_and_short_prefixes_stay() -> None:
    content = b"/usr/lib\0/usr/local/lib\0/opt/lib\0"
    assert without_prefixes(content, ("/usr", "/usr/local", "/opt")) == content
