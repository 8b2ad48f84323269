"""Python environments seen from outside: where an environment of any Python version keeps its packages.

A virtual environment or a conda prefix is read from its files; only an interpreter that stands alone is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aotpack.tools import running
from aotpack_doctor.base.regular import read_text

#: What `import` would search: the user site first (not inside a venv), then sys.path with its .pth files followed.
_ASK = """
import json, site, sys
user = [site.getusersitepackages()] if sys.prefix == sys.base_prefix else []
print(json.dumps([sys.prefix, "%d.%d" % sys.version_info[:2], user + sys.path]))
"""

#: A standard library's folder: `python3.11`, `python3.13t` of a free-threaded build.
_LIBRARY = re.compile(r"python3\.\d+t?")


@dataclass(frozen=True, kw_only=True)
class PythonEnv:
    """One environment.

    Attributes:
        prefix: its folder.
        python: its interpreter, as a path that keeps the environment (never resolved through links).
        version: `3.11`.
        search_path: folders in which packages are looked up, in order.
    """

    prefix: Path
    python: Path
    version: str
    search_path: tuple[Path, ...]


def read_env(prefix: Path) -> PythonEnv | None:
    """The environment in a folder, from its files; None when there is none."""
    python = prefix / "bin" / "python3"
    libraries = [folder for folder in prefix.glob("lib/python3.*") if _LIBRARY.fullmatch(folder.name)]
    libraries.sort(key=lambda folder: int(folder.name.removesuffix("t").rpartition(".")[2]))
    if not python.exists() or not libraries:
        return None
    settings = read_pyvenv_cfg(prefix)
    if settings.get("include-system-site-packages") == "true":
        return ask_python(python)
    version = ".".join((settings.get("version") or settings.get("version_info") or "").split(".")[:2])
    library = next((folder for folder in libraries if folder.name == f"python{version}"), libraries[-1])
    return PythonEnv(
        prefix=prefix,
        python=python,
        version=library.name.removeprefix("python"),
        search_path=tuple(_with_pth_folders(library / "site-packages")),
    )


def ask_python(python: Path) -> PythonEnv | None:
    """The environment of an interpreter, by running it isolated; None when it does not answer."""
    try:
        answer = running.run([python, "-I", "-c", _ASK], timeout=30)
        if answer.status:
            return None
        prefix, version, search_path = json.loads(answer.output)
    except (OSError, ValueError):
        return None
    return PythonEnv(
        prefix=Path(prefix), python=python, version=version, search_path=tuple(Path(entry) for entry in search_path)
    )


def read_pyvenv_cfg(prefix: Path) -> dict[str, str]:
    """`pyvenv.cfg` as keys and values; empty when the folder is no virtual environment."""
    try:
        text = read_text(str(prefix / "pyvenv.cfg"), "replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _with_pth_folders(site_packages: Path) -> Iterator[Path]:
    """A site-packages folder and the folders its .pth files add, as `site.addsitedir` would."""
    yield site_packages
    for pth in sorted(site_packages.glob("*.pth")):
        try:
            lines = read_text(str(pth), "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.strip() and not line.startswith(("#", "import ", "import\t")):
                folder = site_packages / line.strip()
                if folder.is_dir():
                    yield folder
