"""`aotpack cache`: what is kept between builds."""

from __future__ import annotations

import time

import click

from aotpack.cli import console


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  aotpack cache
  aotpack cache list --json
  aotpack cache clean --kind slim
""",
)
@console.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show or delete what is kept between builds.

    Without a command, its size.

    Compiled parts, and records of what was built where. Everything in it can be made again. It lies in
    $XDG_CACHE_HOME/aotpack, or ~/.cache/aotpack.
    """
    if context.invoked_subcommand is None:
        _show_sizes(as_json)


@command.command("list")
@console.json_option
@console.common_options
def list_command(as_json: bool) -> None:
    """Every entry with its size and the day it was made."""
    from aotpack.tools.cache import cache_home, kept

    entries = kept()
    if as_json:
        rows = [{"kind": e.kind, "path": str(e.path), "size": e.size, "made": int(e.made)} for e in entries]
        console.print_json({"schema": 1, "folder": str(cache_home()), "entries": rows})
        return
    days = [time.strftime("%Y-%m-%d", time.localtime(entry.made)) for entry in entries]
    table = [[e.kind, e.path.name, day, console.human_size(e.size)] for e, day in zip(entries, days, strict=True)]
    console.table(str(cache_home()), ["kind", "key", "made", "size"], table)


@command.command("size")
@console.json_option
@console.common_options
def size_command(as_json: bool) -> None:
    """Bytes by kind."""
    _show_sizes(as_json)


def _show_sizes(as_json: bool) -> None:
    from aotpack.tools.cache import cache_home, kept

    sizes: dict[str, int] = {}
    for entry in kept():
        sizes[entry.kind] = sizes.get(entry.kind, 0) + entry.size
    total = sum(sizes.values())
    if as_json:
        console.print_json({"schema": 1, "folder": str(cache_home()), "sizes": sizes, "total": total})
        return
    rows = [[kind, console.human_size(size)] for kind, size in sizes.items()]
    console.table(str(cache_home()), ["kind", "size"], [*rows, ["total", console.human_size(total)]])


@command.command("clean")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="This kind alone, as `list` names it; repeatable.")
@console.json_option
@console.common_options
def clean_command(kinds: tuple[str, ...], as_json: bool) -> None:
    """Delete the entries. Not while a build runs: it would have to begin again."""
    from aotpack.errors import UsageError
    from aotpack.tools.cache import cache_home, kept, remove

    entries = kept()
    there = sorted({entry.kind for entry in entries})
    for kind in kinds:
        if kind not in there:
            raise UsageError(
                f"--kind {kind}: the cache has none",
                meaning=f"{cache_home()} holds {', '.join(there) or 'nothing'}",
                fix="aotpack cache list",
            )
    chosen = [entry for entry in entries if not kinds or entry.kind in kinds]
    remove(chosen)
    freed = sum(entry.size for entry in chosen)
    if as_json:
        console.print_json({"schema": 1, "folder": str(cache_home()), "entries": len(chosen), "freed": freed})
        return
    console.say(f"{cache_home()}: {len(chosen)} entries deleted, {console.human_size(freed)} freed")
