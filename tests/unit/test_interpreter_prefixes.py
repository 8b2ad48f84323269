"""Blanking the build machine's folders out of an interpreter."""

from __future__ import annotations

from aotpack.interpreter import without_prefixes


def test_prefixes_go_and_every_other_byte_stays() -> None:
    content = b"\x7fELF/home/me/py/lib\0/home/me/py\0/home/me/python-build.1/x.c\0tail"
    prefixes = ("/home/me/py", "/home/me/python-build.1")
    assert without_prefixes(content, prefixes) == (
        b"\x7fELF/nowhere////lib\0/nowhere///\0/nowhere///////////////x.c\0tail"
    )


def test_ordinary_and_short_prefixes_stay() -> None:
    content = b"/usr/lib\0/usr/local/lib\0/opt/lib\0"
    assert without_prefixes(content, ("/usr", "/usr/local", "/opt")) == content
