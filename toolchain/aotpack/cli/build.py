"""`aotpack build`: from models to a folder that runs."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from aotpack.backend import Backend
from aotpack.cli import console
from aotpack.errors import UsageError

if TYPE_CHECKING:
    from aotpack.api.bundles import Bundle
    from aotpack.bundle.manifest import Bundle as Description
    from aotpack.bundle.plan import BundlePlan


def _model_option(text: str) -> tuple[str | None, Path]:
    """`NAME=FILE` or `FILE`; a file whose name has a `=` is taken as a file when it exists."""
    if re.fullmatch(r"[^=]*\.py:\w+", text):
        raise UsageError(
            f"{text}: a function, not a package",
            meaning="a bundle is built from compiled models",
            fix=f"aotpack export {text} --output MODEL.pt2, then aotpack build MODEL.pt2",
        )
    if "=" in text and not Path(text).exists():
        name, _, file = text.partition("=")
        return name, Path(file)
    return None, Path(text)


@click.command(
    epilog="""\b
Examples:
  aotpack build mlp.pt2 -o dist/mlp                        linked to the venv, for development
  aotpack build mlp.pt2 -o dist/mlp --portable             everything inside, runs on a bare machine
  aotpack build small=a.pt2 large=b.pt2 -o dist/both --portable
  aotpack build mlp.pt2 --portable --dry-run               what would go where, and why
"""
)
@click.argument("packages", nargs=-1, metavar="[[NAME=]M.pt2]...")
@click.option("--backend", type=click.Choice([b.value for b in Backend]), default="cpu", show_default=True)
@click.option("--model", "models", multiple=True, metavar="[NAME=]M.pt2", help="As an argument; repeatable.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle's folder.  [default: dist/NAME]")
@click.option("--portable", is_flag=True, help="Copy all that is needed instead of linking to the venv.")
@click.option("--runtime", type=click.Choice(["auto", "full", "slim"]), default="auto", show_default=True)
@click.option("--python", type=click.Choice(["bundled", "host"]), default="bundled", show_default=True)
@click.option("--libc", type=click.Choice(["bundled", "host"]), default="bundled", show_default=True)
@click.option("--arch", metavar="SM_OR_GFX,...", help="Keep the GPU code of these targets only.")
@click.option("--features", metavar="GROUP,...", help="Carry these library groups beyond what the models need.")
@click.option(
    "--model-card", "cards", multiple=True, metavar="[NAME=]FILE", help="What is known of a model's training, as JSON."
)
@click.option("--venv", type=click.Path(path_type=Path), help="The environment that holds torch.")
@click.option("--debug", is_flag=True, help="Build the bridge unoptimised and with symbols.")
@click.option("--verify", is_flag=True, help="Check every file afterwards, and run each model in an empty root.")
@click.option("--dry-run", is_flag=True, help="Print what would be done and write no bundle.")
@click.option("--force", is_flag=True, help="Replace the output folder whatever it holds.")
@console.json_option
@console.common_options
def command(
    packages: tuple[str, ...],
    backend: str,
    models: tuple[str, ...],
    output: Path | None,
    portable: bool,
    runtime: Literal["auto", "full", "slim"],
    python: Literal["bundled", "host"],
    libc: Literal["bundled", "host"],
    arch: str | None,
    features: str | None,
    cards: tuple[str, ...],
    venv: Path | None,
    debug: bool,
    verify: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Build a bundle: a folder that runs the model.

    The models are packages of aotpack export, each under its file's name or the one given.
    Without --portable the bundle links to the libraries of the venv and runs on this machine only. With --portable it
    holds all that it needs, down to libc and the Python interpreter of its command line.
    """
    from aotpack.api.builds import carry_out, default_output
    from aotpack.building.request import BuildRequest

    named = tuple(_model_option(text) for text in (*models, *packages))
    request = BuildRequest(
        backend=Backend(backend),
        output=output or default_output(named),
        models=named,
        portable=portable,
        runtime=runtime,
        python=python,
        libc=libc,
        archs=_listed(arch),
        features=_listed(features),
        model_cards=tuple(_model_option(text) for text in cards),
        debug=debug,
        force=force,
        venv=venv,
    )
    start = time.monotonic()
    if dry_run:
        from aotpack.building.assemble import dry_run as plan_only

        _show_plan(plan_only(request, console.reporter()), as_json=as_json)
        return
    bundle = carry_out(request, verify=verify, progress=console.reporter())
    if as_json:
        console.print_json(_document(bundle))
    else:
        _show(bundle, time.monotonic() - start, proven=verify)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _show(built: Bundle, seconds: float, *, proven: bool) -> None:
    bundle = built.description
    if not built.changed:
        console.tell(f"{built.path}: up to date, nothing to do ({seconds:.2f} s)")
        return
    sizes = bundle.sizes()
    rows = [[part, console.human_size(size)] for part, size in sizes.items()]
    console.table("", ["part", "size"], [*rows, ["total", console.human_size(sum(sizes.values()))]])
    console.tell(f"{built.path}: {_summary(bundle)}, built{' and proven' if proven else ''} in {seconds:.1f} s")
    console.tell(f"  runtime: {bundle.runtime}, {built.runtime_reason}")
    for name in bundle.models:
        console.tell(f"  try: {built.path}/bin/aotrun check --model {name}")
    if bundle.portable and not proven:
        console.tell(f"  prove it: aotpack verify {built.path} --run")


def _summary(bundle: Description) -> str:
    if not bundle.portable:
        return "development bundle, linked to this machine"
    asks = []
    if bundle.floors.glibc:
        asks.append(f"glibc {bundle.floors.glibc}")
    if bundle.floors.cpu_features:
        asks.append(f"a CPU with {', '.join(bundle.floors.cpu_features)}")
    if bundle.floors.driver:
        asks.append(f"driver {bundle.floors.driver}")
    if bundle.python == "host":
        asks.append("python3 3.8 or newer")
    return f"portable bundle, asks for {' and '.join(asks) if asks else 'nothing but a Linux kernel'}"


def _document(built: Bundle) -> dict[str, Any]:
    bundle = built.description
    return {
        "schema": 1,
        "output": str(built.path),
        "changed": built.changed,
        "runtime": bundle.runtime,
        "models": sorted(bundle.models),
        "sizes": bundle.sizes(),
        "digest": bundle.digest,
    }


def _show_plan(plan: BundlePlan, *, as_json: bool) -> None:
    from aotpack.bundle.entries import Copy, Link, Member

    def source(content: object) -> str:
        if isinstance(content, Copy):
            return str(content.source)
        if isinstance(content, Link):
            return content.target
        return f"{content.archive}:{content.name}" if isinstance(content, Member) else "generated"

    rows = [
        {
            "destination": entry.destination,
            "part": entry.part.value,
            "how": type(entry.content).__name__.lower(),
            "source": source(entry.content),
            "reason": entry.reason,
        }
        for entry in plan.entries
    ]
    if as_json:
        savings = [{"choice": saving.choice, "size": saving.size} for saving in plan.savings]
        console.print_json({"schema": 1, "entries": rows, "warnings": list(plan.warnings), "savings": savings})
        return
    for row in rows:
        console.tell(f"{row['how']:<6}  {row['destination']}  <-  {row['source']}  ({row['reason']})")
    if plan.savings:
        choices = [[saving.choice, console.human_size(saving.size)] for saving in plan.savings]
        console.table("left out", ["choice", "spared"], choices)
    for warning in plan.warnings:
        console.warn(warning)
