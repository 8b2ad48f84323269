"""Where things are in a bundle: paths relative to it."""

from __future__ import annotations

#: What the bundle is, in one document.
DESCRIPTION = "bundle.json"
LAUNCHER = "bin/aotrun"
LIB = "lib"
GCC = f"{LIB}/gcc"
BRIDGE = f"{LIB}/libaot_bridge.so"
PROXY = f"{LIB}/libaot_proxy.so"
LIBC = "libc"
PYTHON = "python"
PYTHON_PROGRAM = f"{PYTHON}/bin/python3"
#: What the interpreter's extension modules need.
PYTHON_LIB = f"{PYTHON}/lib"
RUNNER = "runner"
HASHES = f"{RUNNER}/libaot_sha256.so"
MODELS = "models"
#: What travels with the models.
ASSETS = "assets"
INCLUDE = "include"
SHARE = "share"
LICENSES = "licenses"
#: How signatures' names end, which lie beside the description: the only files that a sealed bundle may gain.
SIGNATURE = ".sig"


def is_signature(path: str) -> bool:
    """Whether a path relative to the bundle is that of a signature."""
    return "/" not in path and path.endswith(SIGNATURE)
