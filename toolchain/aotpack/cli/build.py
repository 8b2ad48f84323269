"""`aotpack build`: from models to a folder that runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from aotpack.backend import Backend
from aotpack.cli import console
from aotpack.cli.export_options import chosen, export_options
from aotpack.errors import UsageError

if TYPE_CHECKING:
    from aotpack.api.bundles import Bundle
    from aotpack.building.request import BuildRequest
    from aotpack.bundle.manifest import Bundle as Description
    from aotpack.bundle.plan import BundlePlan
    from aotpack.project.reading import Found


def _named(text: str) -> tuple[str | None, str]:
    """`NAME=SOURCE` or `SOURCE`; a file whose name has a `=` is taken as a file when it exists."""
    if "=" in text and not Path(text).exists():
        name, _, source = text.partition("=")
        return name, source
    return None, text


@click.command(
    epilog="""\b
Examples:
  aotpack build mlp.pt2 -o dist/mlp                        linked to the venv, for development
  aotpack build mlp.pt2 -o dist/mlp --portable             everything inside, runs on a bare machine
  aotpack build small=a.pt2 large=b.pt2 -o dist/both --portable
  aotpack build model.py:model -o dist/model --portable --verify      export, build and prove in one step
  aotpack build                                            all that aotpack.toml describes
  aotpack build --model encode=m.py:encode --model decode=m.py:decode -o dist/both --portable
  aotpack build voice.pt2 --portable --asset labels.txt --metadata sample_rate=16000
  aotpack build mlp.pt2 --portable --dry-run               what would go where, and why
"""
)
@click.argument("sources", nargs=-1, metavar="[[NAME=]SOURCE]...")
@click.option("--backend", type=click.Choice([b.value for b in Backend]), default="cpu", show_default=True)
@click.option("--model", "models", multiple=True, metavar="[NAME=]SOURCE", help="As an argument; repeatable.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The bundle's folder.  [default: dist/NAME]")
@click.option("--portable", is_flag=True, help="Copy all that is needed instead of linking to the venv.")
@click.option("--runtime", type=click.Choice(["auto", "full", "slim"]), default="auto", show_default=True)
@click.option("--python", type=click.Choice(["bundled", "host"]), default="bundled", show_default=True)
@click.option("--libc", type=click.Choice(["bundled", "host"]), default="bundled", show_default=True)
@click.option(
    "--arch",
    metavar="SM_OR_GFX,...",
    help="GPUs it will run on: exports are compiled for them, and the GPU code of others is left out.",
)
@click.option("--features", metavar="GROUP,...", help="Carry these library groups beyond what the models need.")
@click.option(
    "--with-crypto", is_flag=True, help="Let libcrypto travel (5 MB): bin/aotrun doctor --key checks signatures."
)
@click.option(
    "--model-card", "cards", multiple=True, metavar="[NAME=]FILE", help="What is known of a model's training, as JSON."
)
@click.option(
    "--asset",
    "assets",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A file or folder that travels with the models: model.asset(NAME); repeatable.",
)
@click.option(
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="A fact that travels with the models: model.metadata[KEY]; repeatable.",
)
@console.venv_option("The environment that holds torch.")
@click.option("--debug", is_flag=True, help="Build the bridge unoptimised and with symbols.")
@click.option(
    "--verify",
    is_flag=True,
    help="Compare exports with eager PyTorch, check every file, and run each model in an empty root.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done and write no bundle.")
@click.option("--force", is_flag=True, help="Replace the output folder whatever it holds.")
@export_options
@console.json_option
@console.common_options
def command(
    sources: tuple[str, ...],
    backend: str,
    models: tuple[str, ...],
    output: Path | None,
    portable: bool,
    runtime: Literal["auto", "full", "slim"],
    python: Literal["bundled", "host"],
    libc: Literal["bundled", "host"],
    arch: str | None,
    features: str | None,
    with_crypto: bool,
    cards: tuple[str, ...],
    assets: tuple[str, ...],
    metadata: tuple[str, ...],
    venv: Path | None,
    debug: bool,
    verify: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
    **export: Any,
) -> None:
    """Build a bundle: a folder that runs the model.

    SOURCE is a package of aotpack export, or what that takes: FILE.py:FUNCTION, package.module:FUNCTION, a program
    saved by torch.export.save. What is exported here is kept in the cache, by the files, folders and environment
    variables that it was seen to read, and exported again when one of them changes. What comes from the network, or is
    read by C code without Python's knowing, is not seen: --force exports in any case.

    Without a SOURCE, all bundles are built that aotpack.toml (or [tool.aotpack] of a pyproject.toml) describes, in this
    folder or the nearest one above; a SOURCE may be the name of one of them. Where there is no such file, --output
    alone makes a bundle without models, for packages that `aotrun --model M.pt2` is given.

    Without --portable the bundle links to the libraries of the venv and runs on this machine only. With --portable it
    holds all that it needs, down to libc and the Python interpreter of its command line.
    """
    from aotpack.api.builds import default_output, packages_of, source_of
    from aotpack.api.projects import requests_of, the_project
    from aotpack.building.request import BuildRequest

    start = time.monotonic()
    log = sys.stderr.buffer if console.verbosity > 0 else None
    named = [_named(text) for text in (*models, *sources)]
    found = _project_of(sources, models) if named else the_project() if output is None else _project_here()
    if found is not None:
        _refuse_others(found.file)
        requests = requests_of(
            found, sources, venv=venv, debug=debug, force=force, verify=verify, progress=console.reporter(), log=log
        )
        _carry_out(requests, start, dry_run=dry_run, as_json=as_json, several=True)
        return
    if not any(source_of(source) for _, source in named):
        _refuse_given(("constants", "cpu_isa", "allow_fixed", "no_sample", "inductor"), _COMPILED)
    packages = packages_of(
        named,
        backend=backend,
        archs=_listed(arch),
        venv=venv,
        force=force,
        options={"verify": verify, **chosen(**export)},
        progress=console.reporter(),
        log=log,
    )
    request = BuildRequest(
        backend=Backend(backend),
        output=output or default_output(packages),
        models=packages,
        portable=portable,
        runtime=runtime,
        python=python,
        libc=libc,
        archs=_listed(arch),
        features=_listed(features),
        with_crypto=with_crypto,
        model_cards=tuple((name, Path(file)) for name, file in map(_named, cards)),
        assets=tuple((name or Path(file).name, Path(file)) for name, file in map(_named, assets)),
        metadata=dict(map(_fact, metadata)),
        debug=debug,
        force=force,
        venv=venv,
    )
    _carry_out([(request, verify)], start, dry_run=dry_run, as_json=as_json, several=False)


#: What may be said beside a project file.
_BESIDE_A_PROJECT = ("sources", "venv", "debug", "force", "verify", "dry_run", "as_json")


def _project_of(sources: tuple[str, ...], models: tuple[str, ...]) -> Found | None:
    """The project where all arguments are names of its bundles."""
    from aotpack.exporting.sources import is_source
    from aotpack.project.reading import find_project

    if models or any(is_source(text) or Path(text).exists() or "." in text or "=" in text for text in sources):
        return None
    found = find_project()
    return found if found is not None and set(sources) <= set(found.project.bundles) else None


def _project_here() -> Found | None:
    """The project that says what is built; without one, an output alone asks for a runtime without models."""
    from aotpack.project.reading import find_project

    found = find_project()
    return found if found is not None and found.project.bundles else None


#: What is wrong with an option, what it means, what to type: `{option}` is its name.
_COMPILED = (
    "{option} with packages alone",
    "a package is compiled already; the option is one of exporting",
    "name the function instead: aotpack build model.py:model {option} ...",
)


def _refuse_others(file: Path) -> None:
    """A project file says all that there is to say of its bundles. Raises UsageError for options that contradict it."""
    others = [name for name in click.get_current_context().params if name not in _BESIDE_A_PROJECT]
    meaning = f"what is built then, and how, is said in {file}"
    fix = "write it there, or name what to build: aotpack build SOURCE {option} ..."
    _refuse_given(others, ("{option} without a SOURCE", meaning, fix))


def _refuse_given(names: Sequence[str], told: tuple[str, str, str]) -> None:
    """Raise UsageError for the first of these parameters that stands on the command line."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = max(next(each.opts for each in context.command.params if each.name == name), key=len)
            what, meaning, fix = (text.replace("{option}", option) for text in told)
            raise UsageError(what, meaning=meaning, fix=fix)


def _carry_out(
    requests: list[tuple[BuildRequest, bool]], start: float, *, dry_run: bool, as_json: bool, several: bool
) -> None:
    from aotpack.api.builds import carry_out

    documents = []
    for request, verify in requests:
        if dry_run:
            from aotpack.building.dry_run import dry_run as plan_only

            documents.append(_plan(plan_only(request, console.reporter()), request.output))
            if not as_json:
                _show_plan(documents[-1])
            continue
        bundle = carry_out(request, verify=verify, progress=console.reporter())
        documents.append(_document(bundle))
        if not as_json:
            _show(bundle, time.monotonic() - start, proven=verify)
        start = time.monotonic()
    if as_json:
        console.print_json({"schema": 1, "bundles": documents} if several else documents[0])


def _fact(text: str) -> tuple[str, object]:
    from aotpack.bundle.assets import parse_value

    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(
            f"--metadata {text}: has no value",
            meaning="a fact is given as KEY=VALUE",
            fix=f"--metadata {key}=...",
        )
    return key, parse_value(value)


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


def _plan(plan: BundlePlan, output: Path) -> dict[str, Any]:
    """What would go where, for programs."""
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
    savings = [{"choice": saving.choice, "size": saving.size} for saving in plan.savings]
    document = {"output": str(output), "entries": rows, "warnings": list(plan.warnings), "savings": savings}
    return {"schema": 1, **document}


def _show_plan(document: dict[str, Any]) -> None:
    for row in document["entries"]:
        console.tell(f"{row['how']:<6}  {row['destination']}  <-  {row['source']}  ({row['reason']})")
    if document["savings"]:
        choices = [[saving["choice"], console.human_size(saving["size"])] for saving in document["savings"]]
        console.table("left out", ["choice", "spared"], choices)
    for warning in document["warnings"]:
        console.warn(warning)
