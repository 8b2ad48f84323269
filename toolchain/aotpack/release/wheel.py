"""A bundle as a Python package: `import mlp; mlp(x)`. Without dependencies, for any Python from 3.8 on.

The interpreter is the user's, and with it libc: what a bundle brings of its own for its command line stays out. Which
systems it runs on is said by auditwheel's policies.
"""

from __future__ import annotations

import base64
import hashlib
import keyword
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO

from packaging.version import InvalidVersion, Version

from aotpack import __version__, resources
from aotpack.bundle.manifest import Bundle
from aotpack.errors import AotpackError, UsageError
from aotpack.release.archives import chunks, written, zip_entry
from aotpack.release.contents import Bytes, Item, Progress, total
from aotpack_doctor.base.frame import PLAIN
from aotpack_doctor.base.places import LICENSES

#: What a program in the user's own interpreter needs.
_CARRIED = re.compile(r"(lib|models)/.*|runner/aotrun/(.*\.py|py\.typed)")


@dataclass(frozen=True)
class Distribution:
    """What the wheel is called."""

    #: For Python: `mlp`.
    package: str
    version: str
    #: Of pip's platform tags, such as `manylinux_2_34_x86_64`.
    platform: str

    @property
    def info(self) -> str:
        """The folder of its metadata."""
        return f"{self.package}-{self.version}.dist-info"

    @property
    def tag(self) -> str:
        """Any Python 3, no ABI of Python's."""
        return f"py3-none-{self.platform}"

    @property
    def file_name(self) -> str:
        """As pip wants it."""
        return f"{self.package}-{self.version}-{self.tag}.whl"


def pack_wheel(
    folder: Path, name: str, version: str, bundle: Bundle, items: Sequence[Item], date: datetime, progress: Bytes
) -> Path:
    """Write the wheel into `folder`, under the name that its content asks for.

    Args:
        name: of the package; what Python does not allow in names becomes `_`.
        version: of the package, by PEP 440.
        items: all of the bundle.

    Returns:
        Where it is.

    Raises:
        UsageError: name or version cannot be.
        AotpackError: auditwheel finds that it would need libraries of the user's system.
    """
    carried = [item for item in items if item.file is not None or item.link is not None]
    carried = [_followed(item, carried) for item in carried if _CARRIED.fullmatch(item.path)]
    texts = [item for item in items if item.path.startswith(f"{LICENSES}/") and item.file is not None]
    plain = _named(name, version, f"linux_{bundle.built_on.machine}")
    size = total(carried)
    with tempfile.TemporaryDirectory() as scratch, progress("asking auditwheel which systems it runs on", size) as done:
        # Not compressed: it is read once, and thrown away.
        trial = Path(scratch) / plain.file_name
        with trial.open("wb") as stream:
            _write(stream, plain, bundle, carried, texts, date, done, zipfile.ZIP_STORED)
        platform = _platform(trial, bundle.built_on.machine)
    made = _named(name, version, platform)
    output = folder / made.file_name
    with written(output) as stream, progress(f"packing {output.name}", size) as done:
        _write(stream, made, bundle, carried, texts, date, done, zipfile.ZIP_DEFLATED)
    return output


def _named(name: str, version: str, platform: str) -> Distribution:
    package = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    if not package.isidentifier() or keyword.iskeyword(package):
        raise UsageError(
            f"{name}: {package or 'nothing'} cannot be imported",
            meaning="the package's name becomes that of a Python module",
            fix="--tag NAME:VERSION with another name",
        )
    try:
        return Distribution(package, str(Version(version)), platform)
    except InvalidVersion:
        raise UsageError(
            f"--tag {name}:{version}: {version} is no version of a Python package",
            meaning="pip compares versions as PEP 440 says: numbers with dots between them, such as 1.0 or 2.1.3rc1",
            fix=f"--tag {name}:1.0",
        ) from None


def _followed(item: Item, items: Sequence[Item]) -> Item:
    """An item with the content that a link leads to: wheels have no links."""
    if item.link is None:
        return item
    parts: list[str] = []
    for part in [*item.path.split("/")[:-1], *item.link.split("/")]:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    place = "/".join(parts)
    found = next((other for other in items if other.path == place), None)
    if found is None:
        raise UsageError(
            f"{item.path}: a link to {place}, which is a folder",
            meaning="a wheel has no links: they are replaced by the files they lead to, and a folder is none",
            fix="use --format tar.zst",
        )
    return replace(_followed(found, items), path=item.path)


def _platform(wheel: Path, machine: str) -> str:
    """The platform tag of the oldest systems that the wheel runs on."""
    from auditwheel.architecture import Architecture
    from auditwheel.libc import Libc
    from auditwheel.wheel_abi import analyze_wheel_abi

    found = analyze_wheel_abi(
        Libc.GLIBC, Architecture(machine), wheel, frozenset(), disable_isa_ext_check=True, allow_graft=False
    )
    name = str(found.overall_policy.name)
    if not name.startswith("manylinux"):
        needed = sorted({soname for reference in found.external_refs.values() for soname in reference.libs})
        raise AotpackError(
            f"auditwheel gives {name}: {', '.join(needed) or 'symbols'} of the system that no manylinux promises",
            meaning="pip would not know on which machines to install the wheel",
            fix="use --format tar.zst, or build on an older system",
        )
    return name


def _write(
    stream: IO[bytes],
    made: Distribution,
    bundle: Bundle,
    carried: Sequence[Item],
    texts: Sequence[Item],
    date: datetime,
    done: Progress,
    compression: int,
) -> None:
    """All members, and last the list of them with their hashes."""
    record: list[str] = []
    with zipfile.ZipFile(stream, "w", compression, compresslevel=6) as archive:

        def add(place: str, content: Iterator[bytes], item: Item) -> None:
            entry = zip_entry(place, item, date)
            entry.compress_type = compression
            digest, size = hashlib.sha256(), 0
            with archive.open(entry, "w", force_zip64=item.size >= 1 << 31) as member:
                for chunk in content:
                    digest.update(chunk)
                    size += len(chunk)
                    member.write(chunk)
            encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
            record.append(f"{_quoted(place)},sha256={encoded},{size}")

        for item in carried:
            add(f"{made.package}/bundle/{item.path}", chunks(item, done), item)
        for item in texts:
            add(f"{made.info}/{item.path}", chunks(item, lambda _done: None), item)
        for place, content in _documents(made, bundle, carried, texts).items():
            add(place, iter((content,)), Item(place, Path(place), mode=PLAIN, size=len(content)))
        record.append(f"{made.info}/RECORD,,")
        entry = zip_entry(f"{made.info}/RECORD", Item("", Path("RECORD"), mode=PLAIN), date)
        archive.writestr(entry, "\n".join(record) + "\n")


def _documents(made: Distribution, bundle: Bundle, carried: Sequence[Item], texts: Sequence[Item]) -> dict[str, bytes]:
    """What is written for the wheel: the module, and what pip and auditors read."""
    module = (resources.TEMPLATES / "wheel" / "package.py").read_text(encoding="utf-8")
    models = ", ".join(sorted(bundle.models)) or "no model"
    metadata = [
        "Metadata-Version: 2.4",
        f"Name: {made.package}",
        f"Version: {made.version}",
        f"Summary: {models}, compiled ahead of time ({bundle.backend}, {bundle.runtime} runtime)",
        "Requires-Python: >=3.8",
        *(f"License-File: {item.path.removeprefix(f'{LICENSES}/')}" for item in texts),
    ]
    wheel = ["Wheel-Version: 1.0", f"Generator: aotpack {__version__}", "Root-Is-Purelib: false", f"Tag: {made.tag}"]
    return {
        f"{made.package}/__init__.py": module.replace("@PACKAGE@", made.package).encode(),
        f"{made.package}/py.typed": b"",
        f"{made.info}/METADATA": ("\n".join(metadata) + "\n").encode(),
        f"{made.info}/WHEEL": ("\n".join(wheel) + "\n").encode(),
    }


def _quoted(place: str) -> str:
    """A name for a line of comma-separated values."""
    return '"' + place.replace('"', '""') + '"' if {",", '"'} & set(place) else place
