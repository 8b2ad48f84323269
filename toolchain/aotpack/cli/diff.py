"""`aotpack diff`: what changed between two bundles?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from aotpack.cli import console
from aotpack.errors import UsageError

_BUNDLE = click.Path(path_type=Path, exists=True)


@click.command(
    epilog="""\b
Examples:
  aotpack diff dist/mlp-1.0 dist/mlp-1.1
  aotpack diff dist/mlp-1.0 dist/mlp-1.1 --json
  aotpack diff dist/mlp dist/mlp.aot                  a single file and what it was packed of are the same
"""
)
@click.argument("before", type=_BUNDLE)
@click.argument("after", type=_BUNDLE)
@console.json_option
@console.common_options
def command(before: Path, after: Path, as_json: bool) -> None:
    """Say what changed from one bundle to another.

    Models, libraries, versions, licences and sizes are told, by the descriptions of the bundles; aotpack verify says
    whether a bundle is what its description says.
    """
    import msgspec

    from aotpack.bundle.manifest import load_bundle
    from aotpack.release.difference import Difference, compare

    found: Difference = compare(load_bundle(before), load_bundle(after), _components(before), _components(after))
    if as_json:
        console.print_json({"schema": 1, "same": found.is_empty, **msgspec.to_builtins(found)})
        return
    if found.is_empty:
        console.tell(f"{before} and {after} are the same")
        return
    files = [change for change in found.changes if change.kind == "file"]
    for change in found.changes:
        if change.kind != "file":
            console.tell(f"{change.kind} {change.name}: {_words(change.before)} -> {_words(change.after)}")
    for part, (first, second) in found.sizes.items():
        if first != second:
            console.tell(f"size of {part}: {first:,} B -> {second:,} B ({second - first:+,})")
    added = [change.name for change in files if change.before is None]
    removed = [change.name for change in files if change.after is None]
    changed = [change.name for change in files if None not in (change.before, change.after)]
    for what, names in (("added", added), ("removed", removed), ("changed", changed)):
        if names:
            shown = names if console.verbosity > 0 else names[:10]
            rest = len(names) - len(shown)
            more = f" and {rest} more (-v)" if rest else ""
            console.tell(f"files {what}: {', '.join(shown)}{more}")


def _components(bundle: Path) -> dict[str, Any]:
    from aotpack.materials import sbom
    from aotpack.release.difference import components_of

    try:
        return components_of(sbom.read(bundle))
    except UsageError:  # a development bundle has no bill
        return {}


def _words(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
