"""`aotrun doctor`: the checks that make sense on a machine that has nothing but the bundle."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import sys
from typing import Callable, Iterator, Sequence

from aotpack_doctor import render
from aotpack_doctor.base import hashing, in_memory
from aotpack_doctor.base.places import BRIDGE, HASHES
from aotpack_doctor.base.regular import open_regular, read_regular
from aotpack_doctor.facts import Bundle, DriverFloor, HostFacts
from aotpack_doctor.findings import catalog, finding
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.findings.explain import explain
from aotpack_doctor.findings.wording import for_target
from aotpack_doctor.reading import gpus
from aotpack_doctor.reading.bundle import announce_contents, compare_contents, is_as_sealed, read_bundle
from aotpack_doctor.reading.description import read_description
from aotpack_doctor.reading.host import read_host
from aotpack_doctor.reading.signature import check_signature

_HELP = """Usage: aotrun doctor [options]

Says whether this machine can run this bundle, and if not, why and what to type.

Options:
  --quick      do not compare the files' contents with their hashes (with --key they are: it signs them)
  --key FILE   ask for a signature by the private half of this public key (PEM); for bundles built --with-crypto
  --json       one JSON document on standard output
  --explain X  explain a finding by its code (AP603), or with - an error message on standard input
  --list       all findings there are
  -h, --help   this text

Exit codes: 0 no errors, 6 the bundle is damaged, 5 a model does not fit, 7 this machine cannot run it
"""

#: Within a bundle.

#: docs/doctor.md, which travels beside this file.
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "doctor.md")

#: What the launcher tells of.
_TOLD = ("LD_LIBRARY_PATH", "LD_PRELOAD")

#: Options that other commands share and that change nothing here.
_QUIET = ("-q", "--quiet")
_SWITCHES = ("--json", "--quick", "--list", "-h", "--help", "-v", "--verbose", *_QUIET)

#: OpenSSL's, where a bundle brings it.
_LIBCRYPTO = re.compile(r"python/lib/libcrypto\.so[.\d]*")
_KEY = (
    "a signature is checked with a public key in PEM, by the libcrypto of a bundle that was built --with-crypto\n"
    "  without one: aotpack verify BUNDLE --key FILE, or the official model_signing verify, where there is a Python"
)

NOT_KNOWN = """error: this text holds no message that the doctor knows
  it looks for error messages of loaders, drivers, torch and libraries
  fix: paste the whole output, from the first line with "error" on, or run {command} and look at its findings
"""


def main(words: Sequence[str], root: str | None = None) -> int:
    """Run the command line.

    Args:
        words: options.
        root: the bundle; by default the one that this file lies in (ROOT/runner/aotpack_doctor/on_target.py).
    """
    rest = list(words)
    explaining = None
    if "--explain" in rest:
        place = rest.index("--explain")
        words_after = rest[place + 1 : place + 2]
        explaining = "-" if not words_after or words_after[0].startswith("--") else words_after[0]
        del rest[place : place + (1 if explaining not in words_after else 2)]
    key = None
    if "--key" in rest:
        place = rest.index("--key")
        key = "".join(rest[place + 1 : place + 2])
        del rest[place : place + 2]
    unknown = [word for word in rest if word not in _SWITCHES]
    if unknown:
        known = ", ".join((*_SWITCHES, "--key FILE"))
        sys.stderr.write(f"error: unknown option {unknown[0]}\n  known: {known}\n  see: aotrun doctor --help\n")
        return 2
    if "-h" in rest or "--help" in rest:
        sys.stdout.write(_HELP)
        return 0
    as_json = "--json" in rest
    if "--list" in rest:
        write_list(as_json)
        return 0
    if explaining:
        text = sys.stdin.read() if explaining == "-" else explaining
        return write_explanation(text, as_json, "aotrun doctor", PAGE)
    bundle = root or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.isfile(os.path.realpath(bundle)):
        bundle = os.path.realpath(bundle)  # one file, which the launcher gave the name of its descriptor
    compares = key is not None or "--quick" not in rest  # what a key is asked about are the contents
    if compares:
        announce_contents(bundle)
    facts = read_facts(bundle)
    if key is not None:
        try:
            facts = facts._replace(bundle=_with_signature(facts.bundle or Bundle(bundle), key))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            sys.stderr.write(f"error: --key {key}: {reason}\n  {_KEY}\n")
            return 2
    if facts.bundle is not None and compares:
        # The slow part comes last.
        with _progress(facts.bundle, silent=any(word in rest for word in _QUIET)) as progress:
            by = hashing.PYTHONS
            if is_as_sealed(bundle, HASHES):
                by = hashing.fastest(in_memory.library(os.path.join(bundle, HASHES)))
            facts = facts._replace(bundle=compare_contents(facts.bundle, progress, by))
    findings = list(map(for_target, examine(facts)))
    write_findings(facts, findings, as_json, "aotrun doctor")
    return finding.exit_code(findings)


def _with_signature(bundle: Bundle, key: str) -> Bundle:
    """The bundle with what is to be said of its signature.

    Raises OSError or ValueError when the key cannot be used, or the bundle has nothing to check it by.
    """
    content = read_regular(key)
    description = None if bundle.problem else read_description(bundle.path)[0]
    if description is None:
        return bundle._replace(unsigned="what is signed cannot be read")
    name = next((record.path for record in description.files if _LIBCRYPTO.fullmatch(record.path)), None)
    if name is None:
        raise ValueError("this bundle brings no libcrypto to check it by")
    if not is_as_sealed(bundle.path, name):
        return bundle._replace(unsigned=f"{name}, by which it would be checked, is damaged")
    found = check_signature(bundle.path, description, content, in_memory.library(os.path.join(bundle.path, name)))
    return bundle._replace(signed=found.signed, unsigned=found.problem)


def read_facts(bundle: str) -> HostFacts:
    """Facts of a bundle and of the machine that is to run it."""
    environment = _environment()
    host = read_host(environment=environment)
    seen, models = read_bundle(bundle, host)
    if is_as_sealed(bundle, BRIDGE):
        host = host._replace(cpu_features=cpu_features(os.path.join(bundle, BRIDGE)) or host.cpu_features)
    floor = seen.floors.get("driver")
    return HostFacts(
        backend=seen.backend,
        runs_here=True,
        host=host,
        nvidia=gpus.read_nvidia(environment=environment) if seen.backend == "cuda" else None,
        amd=gpus.read_amd() if seen.backend == "rocm" else None,
        driver_floor=DriverFloor(None, None, floor) if floor else None,
        models=models,
        bundle=seen,
    )


def _environment() -> dict[str, str]:
    """As it was before `bin/aotrun` cleaned it: the launcher leaves two of the loader's variables in lower case."""
    told = {name: os.environ[name.lower()] for name in _TOLD if name.lower() in os.environ}
    return {**os.environ, **told}


def cpu_features(bridge: str) -> frozenset[str] | None:
    """What the bridge finds by asking the CPU (an emulator answers as what it emulates); None without a bridge."""
    try:
        library = ctypes.CDLL(in_memory.library(bridge))
        library.aot_build_info.restype = ctypes.c_char_p
        features = json.loads(library.aot_build_info())["cpu_features"]
    except (OSError, AttributeError, ValueError, KeyError, TypeError):
        return None
    return frozenset(features)


def write_findings(facts: HostFacts, findings: list[finding.Finding], as_json: bool, command: str) -> None:
    """The answer on standard output; `command` is this doctor's, for what more there is to read."""
    if as_json:
        write_json(finding.document(findings))
    else:
        sys.stdout.write(render.report(facts, findings, paint(), command) + "\n")


def write_explanation(text: str, as_json: bool, command: str, page: str) -> int:
    """Explain a pasted message, or a code alone.

    Args:
        text: the message, or a code.
        as_json: one document.
        command: this doctor's.
        page: the file that has a section on each code.

    Returns:
        The exit code: 0 for a code, that of the worst finding for a message, or 2 when nothing in it is known.
    """
    code = text.strip().upper()
    findings = explain(code if code in catalog.kinds() else text)
    if command == "aotrun doctor":
        findings = list(map(for_target, findings))
    is_code = len(findings) == 1 and findings[0].kind.code == code
    if as_json:
        write_json(finding.document(findings))
    elif is_code:
        sys.stdout.write(section(page, code) + "\n")
    elif findings:
        sys.stdout.write(render.explained(findings, paint(), command) + "\n")
    if is_code:
        return 0
    if not findings:
        sys.stderr.write(NOT_KNOWN.replace("{command}", command))
        return 2
    return finding.exit_code(findings)


def section(page: str, code: str) -> str:
    """What the doctor's page says of a code; its title and meaning where the page is not at hand."""
    kind = catalog.kinds()[code]
    try:
        with open_regular(page) as stream:
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    start = text.find(f"### {code}\n")
    if start < 0:
        return f"{code}  {kind.title}\n\n{kind.meaning}"
    end = text.find("\n#", start + 1)
    return text[start + len("### ") : end if end >= 0 else None].strip()


def write_list(as_json: bool) -> None:
    """All kinds of findings."""
    kinds = catalog.kinds().values()
    if as_json:
        rows = [
            {"code": kind.code, "severity": str(kind.severity), "group": kind.group, "title": kind.title}
            for kind in kinds
        ]
        write_json({"schema": finding.SCHEMA, "checks": rows})
    else:
        table = [(kind.code, str(kind.severity), kind.group, kind.title) for kind in kinds]
        sys.stdout.write(render.listing(table) + "\n")


def write_json(document: dict[str, object]) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def paint() -> render.Paint:
    """Colours where a person watches."""
    colourful = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return render.ansi if colourful else render.plain


@contextlib.contextmanager
def _progress(bundle: Bundle, *, silent: bool) -> Iterator[Callable[[int], None]]:
    """Says what takes time; counts bytes on a terminal, and leaves nothing there."""
    total = sum(size for _path, _part, size in bundle.sizes)
    text = f"comparing contents of {total / 1e6:.0f} MB"
    on_terminal = sys.stderr.isatty()
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if on_terminal and before * 100 // total != done * 100 // total:
            sys.stderr.write(f"\r{text}: {done * 100 // total} %")
            sys.stderr.flush()

    if silent or not total:
        yield lambda _done: None
        return
    sys.stderr.write(text if on_terminal else f"{text}\n")
    try:
        yield advance
    finally:
        if on_terminal:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
