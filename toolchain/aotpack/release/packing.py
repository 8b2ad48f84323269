"""`aotpack pack`: a verified bundle in the form that it travels in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aotpack.bundle.manifest import Bundle, load_bundle
from aotpack.errors import UsageError
from aotpack.release import archives, oci
from aotpack.release.contents import Bytes, Item, contents, refuse_inside, total, whole_bundle
from aotpack.release.dates import release_date
from aotpack.release.single_file import write_single_file
from aotpack.release.wheel import pack_wheel
from aotpack.tools.in_place import put_in_place
from aotpack.tools.scratch import scratch_folder
from aotpack_doctor.base import hashing
from aotpack_doctor.base.frame import OPEN

#: What `--format` takes; the first is the default.
FORMATS = ("tar.zst", "tar", "zip", "oci", "file", "wheel")


@dataclass(frozen=True)
class Release:
    """What was made."""

    output: Path
    #: Bytes.
    size: int
    #: `sha256:...` of the archive, or of the image's manifest.
    digest: str
    #: Where it was pushed to, by digest.
    pushed: str | None = None


@dataclass(frozen=True)
class PackRequest:
    """What to make of which bundle."""

    bundle: Path
    form: str
    #: None: beside the bundle, named after it. Of a wheel: the folder, for pip wants names of its own.
    output: Path | None = None
    #: `NAME[:TAG]` of an image or wheel.
    tag: str | None = None
    #: `REGISTRY/NAME[:TAG]` to push an image to.
    push: str | None = None


def pack(request: PackRequest, progress: Bytes) -> Release:
    """Verify a bundle, then write it in another form.

    Raises:
        UsageError: options that do not go together, or a bundle that stays on this machine.
        DamagedError: the bundle is not what was built.
        BuildToolError: a library of `aotpack[release]` is not installed.
        AotpackError: a registry refuses.
    """
    if request.push is not None and request.form != "oci":
        raise UsageError(
            f"--push with --format {request.form}",
            meaning="a registry takes images",
            fix=f"--format oci --push {request.push}",
        )
    folder = request.bundle.resolve()
    target = oci.parse_reference(request.push, "--push") if request.push is not None else None
    if target is not None and not target.registry:
        raise UsageError(
            f"--push {request.push}: names no registry",
            meaning="aotpack assumes no registry of its own",
            fix=f"--push registry.example.org/{target.name}:{target.tag}",
        )
    named = target if request.tag is None else oci.parse_reference(request.tag, "--tag")
    reference = named or oci.Reference("", _image_name(folder.name), "latest")
    output = request.output or _default_output(folder, request.form)
    refuse_inside(output, folder)
    date = release_date()
    bundle = _verified(folder, progress)
    items = contents(folder, bundle)
    if request.form == "oci":
        facts = {"licenses": _licenses(folder)}
        return _pack_image(output, bundle, items, reference, date, facts, target, progress)
    if request.form == "wheel":
        version = "0" if named is None else named.tag
        name = folder.name if named is None else named.name.rpartition("/")[2]
        return _released(pack_wheel(output, name, version, bundle, items, date, progress))
    with archives.written(output) as stream, progress(f"packing {output.name}", total(items)) as done:
        if request.form == "file":
            write_single_file(stream, folder, bundle, items, done)
            os.fchmod(stream.fileno(), OPEN)
        else:
            archives.WRITERS[request.form](stream, folder.name, items, date, done)
    return _released(output)


def _verified(folder: Path, progress: Bytes) -> Bundle:
    size = sum(record.size for record in load_bundle(folder).files)
    with progress("verifying the bundle", size) as done:
        return whole_bundle(folder, done)


def _default_output(folder: Path, form: str) -> Path:
    if form == "wheel":
        return folder.parent
    return folder.with_name(folder.name + {"oci": "-image", "file": ".aot"}.get(form, f".{form}"))


def _image_name(text: str) -> str:
    """A folder's name as that of an image: lower case, and no more than single signs between letters and digits."""
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in text.lower()).split()
    return "-".join(words) or "bundle"


def _released(output: Path) -> Release:
    return Release(output, output.stat().st_size, f"sha256:{hashing.sha256_of(str(output))}")


def _pack_image(
    output: Path,
    bundle: Bundle,
    items: Sequence[Item],
    reference: oci.Reference,
    date: datetime,
    facts: dict[str, str],
    target: oci.Reference | None,
    progress: Bytes,
) -> Release:
    from aotpack.release.registry import push

    with _replaced(output) as folder, progress(f"packing {output.name}", total(items)) as done:
        digest = oci.write_layout(folder, bundle, items, reference, date, facts, done)
    size = sum(path.stat().st_size for path in (output / "blobs" / "sha256").iterdir())
    pushed = None
    if target is not None:
        with progress(f"pushing to {target}", size) as done:
            pushed = push(output, target, done)
    return Release(output, size, f"sha256:{digest}", pushed)


def _licenses(folder: Path) -> str:
    """The licences of all that is inside, from the bill of materials, as one SPDX expression."""
    from aotpack.materials import sbom

    return sbom.licenses_of(sbom.read(folder)) if (folder / sbom.NAME).is_file() else ""


@contextmanager
def _replaced(output: Path) -> Iterator[Path]:
    """An empty folder that takes the place of an image layout once it is whole.

    Raises:
        UsageError: there is something else at `output`.
    """
    _refuse_foreign(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(output.parent, f".{output.name}.aotpack-new-") as scratch:
        folder = scratch / "new"
        folder.mkdir()
        folder.chmod(0o755)
        yield folder
        _refuse_foreign(output)  # once more: packing took a while
        put_in_place(folder, output, lambda: _refuse_foreign(output))


def _refuse_foreign(output: Path) -> None:
    if not os.path.lexists(output):
        return
    if not output.is_dir() or (any(output.iterdir()) and not oci.is_ours(output)):
        raise UsageError(
            f"{output}: exists and is no image layout of aotpack's alone",
            meaning="packing there would delete files that aotpack did not make",
            fix="choose another --output",
        )
