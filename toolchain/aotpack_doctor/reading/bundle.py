"""Reads a bundle against its own description. Nothing of the bundle is run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from typing import Any, Callable, Iterator

from aotpack_doctor.base import elf, hashing
from aotpack_doctor.facts import Bundle, Fault, Host, Model, RocmTree
from aotpack_doctor.reading.host import listing, mount_of

#: bundle.json's schema that this reads.
SCHEMA = 1
NAME = "bundle.json"

#: Libraries that look for data beside themselves: file name, data folder relative to theirs, and whether the library
#: follows symbolic links to its real place first.
_DATA = (
    (r"librocblas\.so.*", "rocblas/library", False),
    (r"libhipblaslt\.so.*", "hipblaslt/library", False),
    (r"libhipsparselt\.so.*", "hipsparselt/library", False),
    (r"libaotriton.*\.so.*", "aotriton.images", False),
    (r"libMIOpen\.so.*", "../share/miopen/db", True),
)
#: Bytes that a fast disk reads while the doctor looks at a bundle's ELF headers.
_ANNOUNCED = 1 << 28
#: Bytes that glibc keeps for the static thread-local storage of what is loaded into a running program: 1664, and what
#: rounding up to 64 may add.
_TLS_ROOM = 1664 + 64
#: What exports the shim.
_RUNTIME = re.compile(r"libaot_slim\w*\.so|libtorch_(cpu|cuda|hip)\.so")
#: glibc's own libraries, which a bundle may leave to the target.
_GLIBC = re.compile(r"(ld-linux[-\w]*|libc|libm|libdl|libpthread|librt|libutil|libresolv|libanl)\.so(\.\d+)?$")


def read_bundle(path: str, host: Host, root: str = "/") -> tuple[Bundle, tuple[Model, ...]]:
    """A bundle and its models. Contents are not read (see `compare_contents`), only sizes and ELF headers.

    Args:
        path: its folder.
        host: the machine, for what of it would interfere.
        root: where the machine's file system is.
    """
    document, problem = _description(os.path.join(path, NAME))
    if document is None:
        return Bundle(path, problem=problem), ()
    try:
        return _described(path, document, problem, host, root)
    except (KeyError, TypeError, AttributeError) as error:
        return Bundle(path, problem=f"{NAME} is not a bundle's description: {error}"), ()


def _described(
    path: str, document: dict[str, Any], problem: str | None, host: Host, root: str
) -> tuple[Bundle, tuple[Model, ...]]:
    """The bundle and its models, by a description that nothing is known of but that it is JSON."""
    files: list[dict[str, Any]] = document["files"]
    elves: dict[str, elf.Elf] = {}
    bundle = Bundle(
        path,
        problem=problem,
        backend=document["backend"],
        runtime=document["runtime"],
        portable=document["portable"],
        libc=document["libc"],
        machine=document["built_on"]["machine"],
        torch_version=document["torch"]["version"],
        gpu_archs=tuple(document.get("gpu_archs", ())),
        cpu_features=tuple(document["floors"].get("cpu_features", ())),
        floors={name: value for name, value in document["floors"].items() if value and isinstance(value, str)},
        sizes=tuple((record["path"], record["part"], record.get("size", 0)) for record in files),
    )
    point, options = mount_of(path, root)
    faults = _Faults(path, portable=bundle.portable, noexec="noexec" in options)
    for record in files:
        faults.look_at(record, elves)
    faults.look_for_foreign({record["path"] for record in files})
    provided = set(document.get("host_libraries", ()))
    needs = list(_needs(elves, {record["path"] for record in files}))
    if bundle.portable:
        for name, needed, provider in needs:
            if provider is None and needed not in provided and not (bundle.libc == "host" and _GLIBC.match(needed)):
                faults.unresolved.append(Fault(name, f"needs {needed}"))
    bundle = bundle._replace(
        missing=tuple(faults.missing),
        changed=tuple(faults.changed),
        foreign=tuple(faults.foreign),
        outside_paths=tuple(faults.outside_paths),
        outside_links=tuple(faults.outside_links),
        dangling=tuple(faults.dangling),
        stacks=tuple(faults.stacks),
        early=tuple(faults.early),
        unresolved=tuple(faults.unresolved),
        unreadable=tuple(faults.unreadable),
        noexec=point if "noexec" in options else None,
        shadowed=tuple(_shadowed(elves, host)),
        rocm=read_rocm_tree(os.path.join(path, "lib")) if bundle.backend == "rocm" else None,
        edges=tuple((name, provider or needed) for name, needed, provider in needs),
    )
    # What a runtime that is not itself lacks is no news.
    faulty = {fault.path for fault in (*bundle.missing, *bundle.changed, *bundle.outside_links, *bundle.dangling)}
    whole = not any(_RUNTIME.fullmatch(os.path.basename(name)) for name in faulty)
    runtime = shim_of(os.path.join(path, "lib")) if whole else frozenset()
    return bundle, tuple(
        read_model(name, metadata, os.path.join(path, "models", name), runtime)
        for name, metadata in document["models"].items()
    )


def shim_of(folder: str) -> frozenset[str]:
    """The shim functions that a folder's runtime exports; none when there is no runtime in it."""
    names: set[str] = set()
    for name in listing(folder):
        if _RUNTIME.fullmatch(name):
            try:
                names |= elf.shim_names(os.path.join(folder, name))
            except (OSError, ValueError):
                return frozenset()
    return frozenset(names)


def compare_contents(
    bundle: Bundle, progress: Callable[[int], None], by: hashing.Implementation = hashing.PYTHONS
) -> Bundle:
    """The bundle with `changed` completed by the files whose SHA-256 is not what was sealed. Works at disk speed.

    Args:
        bundle: from `read_bundle`.
        progress: called with the bytes just done.
        by: computes the hashes.
    """
    document, _problem = _description(os.path.join(bundle.path, NAME))
    known = {fault.path for fault in (*bundle.missing, *bundle.changed, *bundle.unreadable, *bundle.outside_links)}
    sealed = {}
    for record in document["files"] if document and bundle.sizes else ():  # no sizes: not a description
        if record.get("link") is None and record["path"] not in known:
            path = os.path.join(bundle.path, record["path"])
            pieces = record.get("pieces", ())
            sealed[record["path"]] = hashing.sealed(path, record.get("size", 0), record["sha256"], pieces)
    faults: list[Fault] = []
    parts = [part for expected in sealed.values() for part in expected]
    found = hashing.sha256_of_all(parts, progress, by)
    for name, expected in sealed.items():
        fault = hashing.first_difference(expected, found)
        if isinstance(fault, OSError):
            faults.append(Fault(name, f"cannot be read: {fault.strerror}"))
        elif fault:
            where, actual, digest = fault
            faults.append(Fault(name, f"SHA-256{where} {actual[:12]}, sealed {digest[:12]}"))
    return bundle._replace(changed=(*bundle.changed, *faults))


def announce_contents(path: str) -> None:
    """Let the disk read the first of what `compare_contents` will want, while there is something else to do. The kernel
    keeps it as long as it has memory to spare; all this is a hint, so that nothing that is wrong matters here."""
    sizes: list[tuple[int, str]] = []
    for folder, _folders, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(status.st_mode):
                    sizes.append((status.st_size, os.path.join(folder, name)))
    left = _ANNOUNCED
    for size, name in sorted(sizes, reverse=True):  # the largest first, as they are hashed
        if left <= 0:
            break
        with contextlib.suppress(OSError), open(name, "rb", buffering=0) as stream:
            os.posix_fadvise(stream.fileno(), 0, min(size, left), os.POSIX_FADV_WILLNEED)
        left -= size


def is_as_sealed(folder: str, name: str) -> bool:
    """Whether a file of a bundle has the content that was sealed: to be asked before it is loaded into this process,
    which a damaged library may kill."""
    document, _problem = _description(os.path.join(folder, NAME))
    try:
        sealed = next(record["sha256"] for record in document["files"] if record["path"] == name) if document else None
        return sealed is not None and hashing.sha256_of(os.path.join(folder, name)) == sealed
    except (StopIteration, OSError, KeyError, TypeError):
        return False


def read_model(name: str, metadata: dict[str, Any], folder: str, runtime: frozenset[str]) -> Model:
    """A model of a bundle.

    Args:
        name: in the bundle.
        metadata: its description (docs/bundle-format.md, "model.json").
        folder: where it lies.
        runtime: shim functions that there are; empty when not known.
    """
    floors = metadata.get("floors", {})
    ops: tuple[str, ...] = ()
    lacking: frozenset[str] = frozenset()
    try:
        nodes = os.path.join(folder, "extern_kernel_nodes.json")
        if os.path.exists(nodes):
            with open(nodes, encoding="utf-8") as stream:
                ops = extern_ops(stream.read())
        if runtime:
            lacking = elf.shim_names(os.path.join(folder, "model.so")) - runtime
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a damaged file is the business of the bundle's checks
    return Model(
        name=name,
        device=metadata.get("device", "cpu"),
        machine=metadata.get("machine"),
        torch_version=metadata.get("torch_version"),
        cpu_features=tuple(metadata.get("cpu_features", ())),
        gpu_archs=tuple(metadata.get("gpu_archs", ())),
        glibc=floors.get("glibc"),
        glibcxx=floors.get("glibcxx"),
        missing_symbols=tuple(sorted(lacking)),
        needs_proxy=bool(ops),
        custom_ops=custom(ops),
        described=bool(metadata.get("aotpack_version")),
    )


def extern_ops(text: str) -> tuple[str, ...]:
    """Names of the operators in an `extern_kernel_nodes.json`: `torch.ops.aten.sort.default`, ..."""
    nodes = json.loads(text).get("nodes", [])
    return tuple(sorted({node["node"]["target"] for node in nodes}))


def custom(ops: tuple[str, ...]) -> tuple[str, ...]:
    """Those operators that do not come with torch."""
    own = re.compile(
        r"(torch\.ops\.)?(aten|prims|prim|quantized|quantized_decomposed|mkldnn|_c10d_functional|inductor)\b"
    )
    return tuple(op for op in ops if not own.match(op))


def read_rocm_tree(*folders: str) -> RocmTree:
    """How the ROCm libraries in these folders stand to their data."""
    runtimes: dict[tuple[int, int], str] = {}
    no_data: list[tuple[str, str]] = []
    lonely: list[tuple[str, str]] = []
    search_kind = None
    for folder in folders:
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            if re.match(r"libamdhip64\.so", name) and os.path.exists(path):
                status = os.stat(path)
                runtimes.setdefault((status.st_dev, status.st_ino), path)
            if re.fullmatch(r"librocblas-[0-9a-f]+\.so.*", name):
                # It finds its own place by the name that it was built with.
                no_data.append((path, "data that it could find: its file name was changed"))
            if name == "libtorch_hip.so":
                facts = elf.read_elf(path)
                search_kind = facts.search_kind if facts else None
            for pattern, data, follows_links in _DATA:
                if not re.fullmatch(pattern, name):
                    continue
                base = os.path.dirname(os.path.realpath(path)) if follows_links else folder
                if os.path.isdir(os.path.join(base, data)):
                    continue
                beside_target = os.path.join(os.path.dirname(os.path.realpath(path)), data)
                is_lonely = os.path.islink(path) and os.path.isdir(beside_target)
                (lonely if is_lonely else no_data).append((path, data))
    return RocmTree(
        hip_runtimes=tuple(runtimes.values()) if len(runtimes) > 1 else (),
        no_data=tuple(no_data),
        lonely_links=tuple(lonely),
        search_kind=search_kind,
    )


def _description(path: str) -> tuple[dict[str, Any] | None, str | None]:
    """bundle.json, and why it is not to be trusted."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
        schema = document["schema"]
        if schema > SCHEMA:
            return None, f"{NAME} has schema {schema}; this doctor reads up to {SCHEMA}"
        sealed = document["digest"]
        canonical = json.dumps({**document, "digest": ""}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashing.PYTHONS.new()
        digest.update(canonical.encode())
        actual = digest.hexdigest()
        if actual != sealed:
            return (
                document,
                f"{NAME} was changed after the bundle was sealed: digest {actual[:12]}, sealed {sealed[:12]}",
            )
    except FileNotFoundError:
        return None, f"no {NAME} in it: not a bundle, or not copied whole"
    except OSError as error:
        return None, f"{NAME} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError) as error:
        return None, f"{NAME} is not a bundle's description: {error}"
    return document, None


class _Faults:
    """Collects what is wrong with a bundle's files."""

    def __init__(self, folder: str, *, portable: bool, noexec: bool) -> None:
        self.folder = folder
        self.portable = portable
        self.noexec = noexec
        self.missing: list[Fault] = []
        self.changed: list[Fault] = []
        self.foreign: list[Fault] = []
        self.outside_paths: list[Fault] = []
        self.outside_links: list[Fault] = []
        self.dangling: list[Fault] = []
        self.stacks: list[Fault] = []
        self.early: list[Fault] = []
        self.unresolved: list[Fault] = []
        self.unreadable: list[Fault] = []

    def look_at(self, record: dict[str, Any], elves: dict[str, elf.Elf]) -> None:
        name = record["path"]
        path = os.path.join(self.folder, name)
        if os.path.isabs(name) or ".." in name.split("/"):
            self.changed.append(Fault(name, "names a place outside of the bundle"))
            return
        if record.get("link") is not None:
            self._look_at_link(name, path, record["link"])
            return
        try:
            status = os.lstat(path)
        except OSError:
            self.missing.append(Fault(name, "is missing"))
            return
        if stat.S_ISLNK(status.st_mode):
            self._look_at_stray_link(name, path)
            return
        if not stat.S_ISREG(status.st_mode):
            self.changed.append(Fault(name, "is not a plain file"))
            return
        if status.st_size != record.get("size", 0):
            self.changed.append(Fault(name, f"{status.st_size} bytes instead of {record.get('size', 0)}"))
            return
        if not os.access(path, os.R_OK, effective_ids=True):
            self.unreadable.append(Fault(name, "may not be read"))
            return
        # The kernel asks for the permission to start a program, and nobody for that to load a library. On a mount with
        # noexec it denies it for every file.
        starts = name.startswith(("bin/", "python/bin/", "libc/ld-")) and record.get("executable")
        if starts and not self.noexec and not os.access(path, os.X_OK, effective_ids=True):
            self.unreadable.append(Fault(name, "may not be executed"))
        # Only names that may be ELF files are opened: a bundle has thousands of data files.
        if ".so" in name or record.get("executable"):
            self._look_at_elf(name, path, elves, pristine=bool(record.get("pristine")))

    def _look_at_stray_link(self, name: str, path: str) -> None:
        target = os.readlink(path)
        if self.portable and not self._is_inside(path):
            self.outside_links.append(Fault(name, f"links to {target}, in place of a file"))
        else:
            self.changed.append(Fault(name, f"is a link to {target} in place of a file"))

    def _is_inside(self, path: str) -> bool:
        return os.path.realpath(path).startswith(os.path.realpath(self.folder) + os.sep)

    def _look_at_link(self, name: str, path: str, link: str) -> None:
        if not os.path.islink(path):
            self.missing.append(Fault(name, "is no longer a link" if os.path.exists(path) else "is missing"))
            return
        target = os.readlink(path)
        if self.portable and not self._is_inside(path):
            self.outside_links.append(Fault(name, f"links to {target}"))
        elif target != link:
            self.changed.append(Fault(name, f"links to {target} instead of {link}"))
        elif not os.path.exists(path):
            self.dangling.append(Fault(name, f"links to {target}, which does not exist"))

    def _look_at_elf(self, name: str, path: str, elves: dict[str, elf.Elf], *, pristine: bool) -> None:
        try:
            facts = elf.read_elf(path)
        except (OSError, ValueError) as error:
            self.changed.append(Fault(name, str(error)))
            return
        if facts is None:
            return
        elves[name] = facts
        if facts.executable_stack:
            self.stacks.append(Fault(name, "asks for an executable stack"))
        if facts.static_tls > _TLS_ROOM:
            self.early.append(Fault(name, f"{facts.static_tls} bytes of static thread-local storage"))
        outside = [place for place in facts.search_path if _inside(place, os.path.dirname(name)) is None]
        if pristine and facts.search_path and facts.search_path[0] not in outside:
            # A vendor's file that may not be patched names other folders of its wheel after its own, which comes first.
            outside = [place for place in outside if not place.startswith(("$ORIGIN/", "${ORIGIN}/"))]
        if self.portable:
            self.outside_paths += [Fault(name, f"{facts.search_kind} {place}") for place in outside]

    def look_for_foreign(self, known: set[str]) -> None:
        for parent, folders, files in os.walk(self.folder):
            links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
            for name in sorted([*files, *links]):
                relative = os.path.relpath(os.path.join(parent, name), self.folder)
                if relative not in known and relative != NAME:
                    self.foreign.append(Fault(relative, "is not part of the bundle"))


def _needs(elves: dict[str, elf.Elf], present: set[str]) -> Iterator[tuple[str, str, str | None]]:
    """(file, soname it needs, file of the bundle that provides it or None)."""
    for name, facts in elves.items():
        folders = [_inside(place, os.path.dirname(name)) for place in facts.search_path]
        # The launcher and the bridge, which load first, bring these two.
        places = [folder for folder in folders if folder is not None] + ["libc", "lib/gcc"]
        for needed in facts.needed:
            candidates = (f"{place}/{needed}" for place in places)
            yield name, needed, next((candidate for candidate in candidates if candidate in present), None)


def _inside(place: str, folder: str) -> str | None:
    """The folder of the bundle that a search path names; None when it leaves the bundle."""
    place = place.replace("${ORIGIN}", "$ORIGIN")
    if place != "$ORIGIN" and not place.startswith("$ORIGIN/"):
        return None
    resolved = os.path.normpath(os.path.join(folder, place[len("$ORIGIN") :].lstrip("/")))
    return None if resolved.startswith("..") else resolved


def _shadowed(elves: dict[str, elf.Elf], host: Host) -> Iterator[Fault]:
    """Libraries that a program linked to the bundle would take from elsewhere: LD_PRELOAD comes before all else,
    LD_LIBRARY_PATH before RUNPATH and after RPATH."""
    names = {os.path.basename(path): path for path in elves if path.startswith("lib/")}
    exposed = {needed for facts in elves.values() if facts.search_kind != "RPATH" for needed in facts.needed}
    for entry in host.preload:
        if os.path.basename(entry) in names and entry not in host.preload_missing:
            yield Fault(names[os.path.basename(entry)], f"LD_PRELOAD: {entry}")
    for folder in host.library_path:
        for name in folder.libraries:
            if name in names and name in exposed:
                yield Fault(names[name], f"LD_LIBRARY_PATH: {folder.path}/{name}")
