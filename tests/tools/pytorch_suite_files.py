"""Run by the backend's Python: test files of PyTorch of another version than the torch that is here."""

import ast
import copy
import importlib.util
import json
import sys
import tempfile
import types
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from unittest.mock import MagicMock

import torch
import torch._export
import torch._inductor.package
from torch.utils import _pytree as pytree


def import_suite(file):
    """The module of a file whose folder holds the files that it imports."""
    sys.meta_path.insert(0, Files(file.parent))
    return importlib.import_module(file.stem)


class Files:
    """Finds the modules of one folder, and gives them a stand-in for each name that this torch lacks."""

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, name, path=None, target=None) -> ModuleSpec | None:
        file = self.folder / f"{name}.py"
        loader = File(name, str(file))
        return importlib.util.spec_from_file_location(name, file, loader=loader) if file.is_file() else None


class File(SourceFileLoader):
    """A module's source with each of its imports from torch guarded."""

    def get_code(self, fullname) -> types.CodeType:
        tree = Guards().visit(ast.parse(self.get_data(self.path)))
        return compile(ast.fix_missing_locations(tree), self.path, "exec")

    def exec_module(self, module) -> None:
        module.__missing__ = stand_in
        super().exec_module(module)


class Guards(ast.NodeTransformer):
    """`from torch.x import a, b` becomes one try for each name, whose failure binds a stand-in."""

    def visit_FunctionDef(self, node):
        return node  # what a test imports is the test's own

    def visit_Import(self, node):
        return self.guarded(node, lambda alias: (ast.Import([alias]), alias.asname))

    def visit_ImportFrom(self, node):
        return self.guarded(
            node,
            lambda alias: (ast.ImportFrom(node.module, [alias], node.level), alias.asname or alias.name),
            node.module or "",
        )

    def guarded(self, node, single, module=None):
        made = []
        for alias in node.names:
            statement, bound = single(alias)
            if (module or alias.name).split(".")[0] == "torch" and bound:
                (guard,) = ast.parse(f"try: pass\nexcept ImportError: {bound} = __missing__({bound!r})").body
                guard.body = [statement]
                statement = guard
            made.append(statement)
        return made


def stand_in(name):
    """What is false as a condition, and takes whatever else is done with it: its tests package nothing."""
    made = MagicMock(name=name)
    made.__bool__.return_value = False
    return made


def package_of_library(library, device):
    """A package of what torch's older API compiles: a library, beside it the calls of ops without a shim."""
    folder = Path(tempfile.mkdtemp())
    metadata = folder / f"{Path(library).stem}_metadata.json"
    metadata.write_text(json.dumps({"AOTI_DEVICE_KEY": device}))
    beside = Path(library).with_suffix(".json")
    files = [library, str(metadata), *([str(beside)] if beside.exists() else [])]
    return torch._inductor.package.package_aoti(str(folder / "model.pt2"), {"model": files})


def compile_packages(suite):
    """Let the subjects of test_torchinductor.py, which compile in memory, run as packages.

    Only what is compared with eager there is: a test of the code, or of how often it compiled, has nothing to package.
    """
    for each in vars(suite).values():
        if isinstance(each, type) and "common" in vars(each):
            each.common = as_package


class Subject(torch.nn.Module):
    """A module of a function or module, whose outputs are plain tensors: a package cannot name torch's own tuples."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return tuple(pytree.tree_leaves(self.function(*args, **kwargs)))


def as_package(self, model, example_inputs, kwargs=None, **ignored):
    """What `common` does, by export and package."""
    given = copy.deepcopy((tuple(example_inputs), kwargs or {}))
    with torch.no_grad():
        program = torch.export.export(Subject(model), tuple(example_inputs), kwargs or {}, strict=False)
        compiled = torch._inductor.aoti_load_package(torch._inductor.aoti_compile_and_package(program))
        compiled(*given[0], **given[1])
