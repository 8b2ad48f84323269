"""Runs inside the interpreter that will travel: finds the part of its standard library that some packages use.

A script of its own, standard library only, Python 3.8 and newer: `python -I -S worker.py REQUEST`, where REQUEST
is JSON: `{"packages": [folders of packages], "more": [modules in C], "output": folder}`. Prints JSON: facts of the
interpreter and the native files to copy. Bytecode is written to the output folder in a bundle's layout.

What it writes depends on the sources alone: no time stamps, no path of this machine.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import json
import marshal
import modulefinder
import os
import py_compile
import subprocess
import sys
import sysconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

# Places in a bundle, as aotpack_doctor.base.places has them: the program, its libraries, and the packages that it runs.
PROGRAM = "python/bin/python3"
LIBRARIES = "python/lib"
RUNNER = "runner"

# Reached through imports that the runner never takes: development tools, network protocols, databases, other platforms.
# `_hashlib` and `_ssl` would bring OpenSSL, and hashlib wants every hash there is; the interpreter's own C prints
# tracebacks as well. What some version of the library cannot do without comes back (`closure`); the packages themselves
# must do without all of it.
EXCLUDED = (
    "argparse ast asyncio bdb _bz2 bz2 cmd code codeop compileall concurrent.futures.process copy csv _curses curses "
    "dataclasses dbm _decimal decimal difflib dis distutils doctest email encodings.mbcs ensurepip fcntl ftplib _gdbm "
    "getpass gettext glob grp _hashlib hashlib heapq _heapq html http idlelib imaplib importlib._bootstrap "
    "importlib._bootstrap_external importlib.abc importlib.metadata importlib.readers importlib.resources inspect "
    "ipaddress lib2to3 linecache locale logging _lzma lzma mimetypes msilib _multiprocessing multiprocessing netrc "
    "ntpath nturl2path _opcode opcode _opcode_metadata optparse pdb pickle pip pkgutil plistlib poplib _posixshmem "
    "_posixsubprocess pprint pty _py_abc py_compile pyclbr _pydecimal pydoc pydoc_data pyexpat readline rlcompleter "
    "runpy sched secrets selectors setuptools shlex signal site smtplib sqlite3 _ssl ssl statistics "
    "string.templatelib subprocess tarfile telnetlib test _testcapi _threading_local _tkinter tkinter token tokenize "
    "traceback tracemalloc tty turtle unicodedata unittest urllib.error urllib.parse urllib.request urllib.response "
    "_uuid uuid venv weakref webbrowser winreg wsgiref xml xmlrpc zipapp"
)

# Never imported by name: codecs are looked up when first used, here for standard streams, paths, JSON and zip entries.
ALWAYS = (
    "encodings.ascii encodings.cp437 encodings.latin_1 encodings.utf_8 encodings.utf_8_sig encodings.utf_16 "
    "encodings.utf_16_be encodings.utf_16_le encodings.utf_32 encodings.utf_32_be encodings.utf_32_le "
    "io os"
)


# Run by a fresh interpreter: imports modules where others cannot be had. Prints what it misses, or which of the modules
# that it then has are built into the interpreter's own code. Itself it imports nothing that is a file, which it would
# then not miss. Of the folders that hold our packages it takes these alone: whatever else is installed beside them is
# not of this interpreter, and must not stand for what is.
PROBE = """
import marshal, sys
folders, absent, names = marshal.load(sys.stdin.buffer)
on_path = next(finder for finder in sys.meta_path if getattr(finder, "__name__", None) == "PathFinder")
class OurPackages:
    def find_spec(name, path=None, target=None):
        return on_path.find_spec(name, [folders[name]]) if name in folders else None
sys.meta_path.append(OurPackages)
sys.modules.update(dict.fromkeys(set(absent) - set(sys.modules)))
missing = None
try:
    for name in names:
        __import__(name)
except ImportError as error:
    missing = error.name or str(error)
origins = [(name, getattr(module, "__spec__", None)) for name, module in sys.modules.items()]
frozen = sorted(name for name, spec in origins if spec and spec.name == name and spec.origin == "frozen")
marshal.dump({"missing": missing, "frozen": frozen}, sys.stdout.buffer)
"""


def modules_of(packages: List[str]) -> Iterator[Tuple[str, str]]:
    """Name and file of all modules in package folders."""
    for package in packages:
        for folder, folders, files in os.walk(package):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            inside = os.path.relpath(folder, os.path.dirname(package)).replace(os.sep, ".")
            for name in sorted(files):
                if name.endswith(".py"):
                    yield inside if name == "__init__.py" else inside + "." + name[:-3], os.path.join(folder, name)


def imports_of(file: str) -> Iterator[Tuple[str, bool]]:
    """What a file imports when it runs: everything but imports under `if TYPE_CHECKING`; and whether it knows how to do
    without it, which is a `try` that ends in `except ImportError`."""
    with open(file, encoding="utf-8") as stream:
        pending: List[Tuple[ast.AST, bool]] = [(ast.parse(stream.read(), file), False)]
    while pending:
        node, spare = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending += [(child, spare) for child in node.orelse]
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, spare) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, spare
        caught = [handler.type for handler in node.handlers] if isinstance(node, ast.Try) else []
        if any(isinstance(error, ast.Name) and error.id == "ImportError" for error in caught):
            tried = node.body  # type: ignore[attr-defined]
            pending += [(child, True) for child in tried]
            pending += [(child, spare) for child in ast.iter_child_nodes(node) if child not in tried]
        else:
            pending += [(child, spare) for child in ast.iter_child_nodes(node)]


def probe(packages: List[str], absent: Iterable[str], names: List[str]) -> Dict[str, Any]:
    """What PROBE says."""
    request = marshal.dumps([folders_of(packages), sorted(absent), names])
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE]
    done = subprocess.run(command, input=request, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit("the packages cannot be imported here")
    answer: Dict[str, Any] = marshal.loads(done.stdout)  # noqa: S302  written by PROBE
    return answer


def folders_of(packages: List[str]) -> Dict[str, str]:
    """Name of each package -> the folder that it is in."""
    return {os.path.basename(package): os.path.dirname(package) for package in packages}


class Finder(modulefinder.ModuleFinder):
    """Follows imports into the standard library and our packages, and nowhere else."""

    def __init__(self, packages: List[str], excludes: List[str]) -> None:
        library = [folder for folder in sys.path if os.path.isdir(folder)]
        super().__init__(path=library, excludes=excludes)
        self._folders = folders_of(packages)

    def find_module(self, name: str, path: Optional[str], parent: Any = None) -> Any:
        if parent is None and name in self._folders:
            path = [self._folders[name]]  # type: ignore[assignment]  # typeshed takes the list for one folder
        return super().find_module(name, path, parent)


def closure(packages: List[str]) -> Dict[str, str]:
    """Name -> file of every module that the packages can reach, the packages' own included."""
    ours = dict(modules_of(packages))
    absent = set(EXCLUDED.split())
    wanted = ALWAYS.split()
    for name, file in ours.items():
        for imported, spare in imports_of(file):
            if imported in absent:
                if spare:
                    continue
                sys.exit("%s imports %s, which worker.py leaves out" % (name, imported))
            # Others, like NumPy, are used where a program has them.
            if importlib.util.find_spec(imported.partition(".")[0]):
                wanted.append(imported)
    # A __main__ would run.
    importable = [name for name in (*wanted, *ours) if not name.endswith("__main__")]
    while True:
        answer = probe(packages, absent, importable)
        missing = answer["missing"]
        if missing is None:
            break
        if missing not in absent:
            sys.exit("this Python has no module %s" % missing)
        absent.remove(missing)
    finder = Finder(packages, sorted(absent))
    for name in (*ALWAYS.split(), *ours):
        # A package that is imported for its submodules; import_hook follows the dots.
        finder.import_hook(name)
    files = {name: getattr(module, "__file__", None) for name, module in sorted(finder.modules.items())}
    # The landmark by which an interpreter finds its library must be a file.
    inside = set(answer["frozen"]) - {"os"}
    return {name: file for name, file in files.items() if file and name not in inside}


def write_bytecode(source: str, shown: str, target: str, optimize: int) -> None:
    """Compile one file; the result is valid whatever the source's time stamp."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, target, shown, doraise=True, optimize=optimize, invalidation_mode=unchecked)


def libpython() -> Optional[str]:
    """The shared library that this process runs from, or None when it is all in the executable."""
    with open("/proc/self/maps") as stream:
        for line in stream:
            path = line.split(None, 5)[-1].strip()
            if os.path.basename(path).startswith("libpython3."):
                return path
    return None


def license_text(stdlib: str, version: str) -> Optional[str]:
    """The licence of this interpreter, where its build or its distribution puts it."""
    places = [os.path.join(stdlib, "LICENSE.txt")]
    places += [os.path.join(sys.base_prefix, name) for name in ("LICENSE.txt", "LICENSE_PYTHON.txt", "LICENSE")]
    places += ["/usr/share/doc/python%s/copyright" % version, "/usr/share/doc/libpython%s-minimal/copyright" % version]
    places += ["/usr/share/licenses/python%s-libs/LICENSE" % suffix for suffix in (version, version[0])]
    return next((place for place in places if os.path.isfile(place)), None)


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    version = "%d.%d" % sys.version_info[:2]
    stdlib = os.path.dirname(os.path.realpath(os.__file__))
    natives = {PROGRAM: os.path.realpath(sys.executable)}
    library = libpython()
    if library:
        natives[LIBRARIES + "/" + os.path.basename(library)] = library
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    for file in closure(request["packages"]).values():
        owner = next((package for package in request["packages"] if file.startswith(package + os.sep)), None)
        if file.endswith(suffixes):
            natives["%s/python%s/lib-dynload/%s" % (LIBRARIES, version, os.path.basename(file))] = file
        elif owner is None:
            inside = os.path.relpath(file, stdlib)
            target = os.path.join(request["output"], LIBRARIES + "/python" + version, inside + "c")
            # Without docstrings and asserts: a third smaller.
            write_bytecode(file, inside, target, 2)
        else:
            inside = os.path.join(RUNNER, os.path.relpath(file, os.path.dirname(owner)))
            target = importlib.util.cache_from_source(os.path.join(request["output"], inside), optimization="")
            write_bytecode(file, inside, target, 0)
    for name in request["more"]:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin or not spec.origin.endswith(suffixes):
            sys.exit("this Python has no module %s that is a file of its own" % name)
        natives["%s/python%s/lib-dynload/%s" % (LIBRARIES, version, os.path.basename(spec.origin))] = spec.origin
    # Where it was installed, and where its sources were when it was compiled.
    sources = sysconfig.get_config_vars("abs_srcdir", "abs_builddir")
    configured = [sys.base_prefix, sys.base_exec_prefix, *sources]
    facts = {
        "version": version,
        "prefixes": sorted({folder for folder in configured if folder and os.path.isabs(folder)}),
        "natives": natives,
        "license": license_text(stdlib, version),
    }
    json.dump(facts, sys.stdout)


main()
