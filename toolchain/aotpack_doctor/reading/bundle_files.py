"""The files of a bundle against its description: what is wrong with each, and what its libraries need."""

from __future__ import annotations

import errno
import os
import stat
from typing import Container, Dict, Iterator, Mapping

from aotpack_doctor.base import elf, soname
from aotpack_doctor.base.places import DESCRIPTION, GCC, LIB, LIBC, is_signature
from aotpack_doctor.base.regular import kind as kind_of
from aotpack_doctor.base.search_path import inside, is_relative
from aotpack_doctor.facts import Fault, FaultKind, Host
from aotpack_doctor.reading.description import Description, Record

#: Bytes that glibc keeps for the static thread-local storage of what is loaded into a running program: 1664, and what
#: rounding up to 64 may add.
_TLS_ROOM = 1664 + 64
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_SHORT = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)

Elves = Dict[str, elf.Elf]


def fault_of(path: str, error: OSError) -> Fault:
    """What an error of the system says of a file: that it is damaged is the last thing to think of."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _ABSENT:
        return Fault(path, "is missing", FaultKind.MISSING)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Fault(path, "may not be read", FaultKind.UNREADABLE)
    if error.errno in _SHORT:
        return Fault(path, f"could not be looked at: {reason}", FaultKind.SHORTAGE)
    return Fault(path, f"cannot be read: {error.strerror or reason}", FaultKind.CHANGED)


def look(folder: str, description: Description, *, noexec: bool) -> tuple[list[Fault], Elves]:
    """What is wrong with the files, contents aside, and the ELF files among them by name."""
    faults: list[Fault] = []
    elves: Elves = {}
    for record in description.files:
        wrong = list(_file(folder, record, portable=description.portable, noexec=noexec))
        # Only names that may be ELF files are opened: a bundle has thousands of data files. One that is wrong is read
        # for what others may expect of it.
        if record.is_inside and record.link is None and (".so" in record.path or record.executable):
            try:
                facts = elf.read_elf(os.path.join(folder, record.path))
                if facts is not None:
                    elves[record.path] = facts
            except OSError as error:
                wrong = wrong or [fault_of(record.path, error)]
            except ValueError as error:
                wrong = wrong or [Fault(record.path, str(error), FaultKind.CHANGED)]
        faults += wrong
    faults += _foreign(folder, {record.path for record in description.files})
    faults += _libraries(description, elves)
    return faults, elves


def _file(folder: str, record: Record, *, portable: bool, noexec: bool) -> Iterator[Fault]:
    path = os.path.join(folder, record.path)
    if not record.is_inside:
        yield Fault(record.path, "names a place outside of the bundle", FaultKind.CHANGED)
        return
    try:
        status = os.lstat(path)
    except OSError as error:
        yield fault_of(record.path, error)
        return
    if record.link is not None or stat.S_ISLNK(status.st_mode):
        yield from _link(folder, record, status.st_mode, portable=portable)
    elif not stat.S_ISREG(status.st_mode):
        yield Fault(record.path, f"is {kind_of(status.st_mode)}, where a file belongs", FaultKind.CHANGED)
    elif status.st_size != record.size:
        yield Fault(record.path, f"has {status.st_size} bytes instead of {record.size}", FaultKind.CHANGED)
    elif record.wheel_sha256 not in (None, record.sha256):
        what = "is not the file that the vendor's wheel recorded; it must not be changed"
        yield Fault(record.path, what, FaultKind.CHANGED)
    elif not os.access(path, os.R_OK, effective_ids=True):
        yield Fault(record.path, "may not be read", FaultKind.UNREADABLE)
    elif record.executable and not noexec:
        yield from _permission(path, record, status.st_mode)


def _permission(path: str, record: Record, mode: int) -> Iterator[Fault]:
    """The kernel asks for the permission to start a program, and nobody for that to load a library. On a mount with
    noexec it denies it for every file."""
    if record.path.startswith(("bin/", "python/bin/", "libc/ld-")) and not os.access(path, os.X_OK, effective_ids=True):
        yield Fault(record.path, "may not be executed", FaultKind.UNREADABLE)
    elif not mode & stat.S_IXUSR:
        yield Fault(record.path, "is no longer executable (copied without its permissions?)", FaultKind.MODE)


def _link(folder: str, record: Record, mode: int, *, portable: bool) -> Iterator[Fault]:
    path = os.path.join(folder, record.path)
    if not stat.S_ISLNK(mode):
        yield Fault(record.path, "is no longer a link", FaultKind.CHANGED)
        return
    try:
        target = os.readlink(path)
    except OSError as error:
        yield fault_of(record.path, error)
        return
    leaves = not os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
    if portable and leaves:
        yield Fault(record.path, f"links to {target}, outside of the bundle", FaultKind.OUTSIDE_LINK)
    elif record.link is None:
        yield Fault(record.path, f"is a link to {target} in place of a file", FaultKind.CHANGED)
    elif target != record.link:
        yield Fault(record.path, f"links to {target} instead of {record.link}", FaultKind.CHANGED)
    elif not os.path.exists(path):
        yield Fault(record.path, f"links to {target}, which does not exist", FaultKind.DANGLING)


def _foreign(folder: str, known: set[str]) -> Iterator[Fault]:
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted([*files, *links]):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder)
            signature = is_signature(relative) and not os.path.islink(path)
            if relative not in known and relative != DESCRIPTION and not signature:
                yield Fault(relative, "is not part of the bundle", FaultKind.FOREIGN)


def _libraries(description: Description, elves: Elves) -> Iterator[Fault]:
    """What the loader would stumble over on a machine that has nothing but the bundle."""
    present = {record.path for record in description.files}
    pristine = {record.path for record in description.files if record.pristine}
    users: dict[str, list[tuple[str, ...]]] = {}
    for facts in elves.values():
        for name in facts.needed:
            users.setdefault(name, []).append(facts.needed)
    for path, facts in elves.items():
        if facts.machine == elf.GPU:
            continue
        if facts.executable_stack:
            yield Fault(path, "asks for an executable stack, which hardened kernels refuse", FaultKind.STACK)
        if facts.static_tls > _TLS_ROOM:
            yield Fault(path, f"{facts.static_tls} bytes of static thread-local storage", FaultKind.EARLY)
        if facts.machine != description.machine:
            what = f"is code for {facts.machine} in a bundle for {description.machine}"
            yield Fault(path, what, FaultKind.MACHINE)
        if description.portable:
            # What each user loads itself, the loader has before this library asks for it.
            asking = users.get(os.path.basename(path), [])
            loaded = frozenset(asking[0]).intersection(*asking) if asking else frozenset()
            searched = {f"{LIB}/{name}": name for name in facts.needed if name not in loaded}
            asked = [name for place, name in searched.items() if place in present]
            yield from _search_path(path, facts, asked, pristine=path in pristine)
    if description.portable:
        for path, needed, provider in needs(elves, present):
            on_target = needed in description.host_libraries or (description.libc == "host" and soname.is_glibc(needed))
            if provider is None and not on_target:
                what = f"needs {needed}, which is neither in the bundle nor on the list of what the target provides"
                yield Fault(path, what, FaultKind.UNRESOLVED)


def _search_path(path: str, facts: elf.Elf, asked: list[str], *, pristine: bool) -> Iterator[Fault]:
    """Entries that leave the bundle.

    Args:
        path: of the library.
        facts: its own.
        asked: what it needs of lib/ that is not loaded before it.
        pristine: it is a vendor's file, which must not be patched.
    """
    own_first = False
    for text in facts.search_path:
        if inside(text, os.path.dirname(path)) is not None:
            own_first = True
        elif not (pristine and is_relative(text)):
            yield Fault(path, f"searches {text}, outside of the bundle", FaultKind.OUTSIDE_PATH)
        elif own_first:
            # A vendor's file names its siblings' folders of the wheel after its own: they are never asked as long as
            # its own has all it needs.
            return
        elif asked:
            what = f"searches {text}, outside of the bundle, for {', '.join(asked)}"
            yield Fault(path, what, FaultKind.OUTSIDE_PATH)


def needs(elves: Mapping[str, elf.Elf], present: Container[str]) -> Iterator[tuple[str, str, str | None]]:
    """(file, soname it needs, file of the bundle that provides it or None)."""
    for name, facts in elves.items():
        folders = [inside(place, os.path.dirname(name)) for place in facts.search_path]
        # The launcher and the bridge, which load first, bring these two.
        places = [folder for folder in folders if folder is not None] + [LIBC, GCC]
        for needed in facts.needed:
            candidates = (os.path.join(place, needed) for place in places)
            yield name, needed, next((candidate for candidate in candidates if candidate in present), None)


def shadowed(elves: Mapping[str, elf.Elf], host: Host) -> Iterator[Fault]:
    """Libraries that a program linked to the bundle would take from elsewhere: LD_PRELOAD comes before all else,
    LD_LIBRARY_PATH before RUNPATH and after RPATH."""
    names = {os.path.basename(path): path for path in elves if path.startswith(f"{LIB}/")}
    exposed = {needed for facts in elves.values() if facts.search_kind != "RPATH" for needed in facts.needed}
    for entry in host.preload:
        if os.path.basename(entry) in names and entry not in host.preload_missing:
            yield Fault(names[os.path.basename(entry)], f"LD_PRELOAD: {entry}", FaultKind.SHADOWED)
    for folder in host.library_path:
        for name in folder.libraries:
            if name in names and name in exposed:
                yield Fault(names[name], f"LD_LIBRARY_PATH: {folder.path}/{name}", FaultKind.SHADOWED)
