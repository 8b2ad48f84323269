"""Runs inside the interpreter that will travel: finds the part of its standard library that some packages use.

A script of its own, standard library only, Python 3.8 and newer: `python -I -S stdlib_worker.py REQUEST`, where REQUEST
is JSON: `{"packages": [folders of packages], "output": folder}`. Prints JSON: facts of the interpreter and the native
files to copy. Bytecode is written to the output folder in a bundle's layout.

What it writes depends on the sources alone: no time stamps, no path of this machine.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import modulefinder
import os
import py_compile
import sys
import sysconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional

# Reached through imports that the runner never takes: development tools, network protocols, databases, other platforms.
# `_hashlib` and `_ssl` would bring OpenSSL: hashlib has its own SHA-256. What is left out here must be optional for
# whoever imports it; the tests import every module that is left in.
EXCLUDED = (
    "asyncio bdb _bz2 bz2 cmd code codeop compileall concurrent.futures.process csv _curses curses dataclasses dbm "
    "_decimal decimal difflib distutils doctest email ensurepip ftplib _gdbm getpass _hashlib html http idlelib "
    "imaplib importlib.metadata importlib.readers importlib.resources lib2to3 logging _lzma lzma mimetypes msilib "
    "_multiprocessing multiprocessing netrc nturl2path optparse pdb pickle pip pkgutil plistlib poplib _posixshmem "
    "pprint pty pyclbr _pydecimal pydoc pydoc_data pyexpat readline rlcompleter runpy sched secrets setuptools site "
    "smtplib sqlite3 _ssl ssl statistics tarfile telnetlib test _testcapi _tkinter tkinter tracemalloc tty turtle "
    "unicodedata unittest urllib.error urllib.request urllib.response _uuid uuid venv webbrowser winreg wsgiref xml "
    "xmlrpc zipapp"
)

# Never imported by name: codecs are looked up when first used, here for standard streams, paths, JSON and zip entries.
ALWAYS = (
    "encodings.ascii encodings.cp437 encodings.latin_1 encodings.utf_8 encodings.utf_8_sig encodings.utf_16 "
    "encodings.utf_16_be encodings.utf_16_le encodings.utf_32 encodings.utf_32_be encodings.utf_32_le "
    "io os traceback"
)


def modules_of(packages: List[str]) -> Iterator[str]:
    """Names of all modules in package folders."""
    for package in packages:
        for folder, folders, files in os.walk(package):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            inside = os.path.relpath(folder, os.path.dirname(package)).replace(os.sep, ".")
            for name in sorted(files):
                if name.endswith(".py"):
                    yield inside if name == "__init__.py" else inside + "." + name[:-3]


def closure(packages: List[str]) -> Dict[str, str]:
    """Name -> file of every module that the packages can reach, the packages' own included."""
    path = [os.path.dirname(package) for package in packages]
    path += [folder for folder in sys.path if os.path.isdir(folder)]
    finder = modulefinder.ModuleFinder(path=path, excludes=EXCLUDED.split())
    for name in [*ALWAYS.split(), *modules_of(packages)]:
        # A package that is imported for its submodules; import_hook follows the dots.
        finder.import_hook(name)
    for name, importers in finder.badmodules.items():
        ours = [importer for importer in importers if importer.partition(".")[0] in map(os.path.basename, packages)]
        if name in EXCLUDED.split() and ours:
            sys.exit("%s imports %s, which stdlib_worker.py leaves out" % (ours[0], name))
    files = {name: getattr(module, "__file__", None) for name, module in sorted(finder.modules.items())}
    return {name: file for name, file in files.items() if file}


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


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    version = "%d.%d" % sys.version_info[:2]
    stdlib = os.path.dirname(os.path.realpath(os.__file__))
    natives = {"python/bin/python3": os.path.realpath(sys.executable)}
    library = libpython()
    if library:
        natives["python/lib/" + os.path.basename(library)] = library
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    for file in closure(request["packages"]).values():
        owner = next((package for package in request["packages"] if file.startswith(package + os.sep)), None)
        if file.endswith(suffixes):
            natives["python/lib/python%s/lib-dynload/%s" % (version, os.path.basename(file))] = file
        elif owner is None:
            inside = os.path.relpath(file, stdlib)
            target = os.path.join(request["output"], "python/lib/python" + version, inside + "c")
            # Without docstrings and asserts: a third smaller.
            write_bytecode(file, inside, target, 2)
        else:
            inside = os.path.join("runner", os.path.relpath(file, os.path.dirname(owner)))
            target = importlib.util.cache_from_source(os.path.join(request["output"], inside), optimization="")
            write_bytecode(file, inside, target, 0)
    license_file = os.path.join(stdlib, "LICENSE.txt")
    # Where it was installed, and where its sources were when it was compiled.
    sources = sysconfig.get_config_vars("abs_srcdir", "abs_builddir")
    configured = [sys.base_prefix, sys.base_exec_prefix, *sources]
    facts = {
        "version": version,
        "prefixes": sorted({folder for folder in configured if folder and os.path.isabs(folder)}),
        "natives": natives,
        "license": license_file if os.path.exists(license_file) else None,
    }
    json.dump(facts, sys.stdout)


main()
