"""JSON schemas of our documents, for editors and for who reads a bundle with other tools."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec


def schema_of(document: type, **head: str) -> dict[str, Any]:
    """The JSON schema of a type; the same under each msgspec.

    Args:
        document: a struct.
        head: what stands before the rest.
    """
    return {**head, **_settled(msgspec.json.schema(document))}


def _settled(part: Any) -> Any:
    """What differs between versions of msgspec, in one form: indentation of docstrings, the place of null."""
    if isinstance(part, list):
        return [_settled(each) for each in part]
    if not isinstance(part, dict):
        return part
    settled = {key: _settled(value) for key, value in part.items()}
    if isinstance(settled.get("description"), str):
        settled["description"] = inspect.cleandoc(settled["description"])
    if "anyOf" in settled:
        settled["anyOf"].sort(key=lambda choice: choice == {"type": "null"})
    return settled
