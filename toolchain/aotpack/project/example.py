"""`aotpack init --example`: a project that works as it is."""

from __future__ import annotations

import os
from pathlib import Path

from aotpack.errors import UsageError
from aotpack.tools.scratch import write_whole

FILES = {
    "aotpack.toml": """\
# What `aotpack build` makes here. All settings: docs/python.md.
backend = "cpu"

[models]
classifier = "model.py:model"

[bundles.classifier]
portable = true
verify = true

[bundles.classifier.assets]
"labels.txt" = "labels.txt"

[bundles.classifier.metadata]
version = "1.0"
""",
    "model.py": '''\
"""A classifier of four numbers into the labels of labels.txt; put your own model here."""

import torch


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))

    def forward(self, features):
        return self.layers(features).softmax(dim=-1)


def model():
    """The module, example inputs, and the sizes that may vary."""
    torch.manual_seed(0)
    return Classifier().eval(), (torch.randn(8, 4),), ({0: torch.export.Dim("batch", max=1024)},)
''',
    "labels.txt": "setosa\nversicolor\nvirginica\n",
}


def write_example(folder: Path) -> list[Path]:
    """Write the files; returns them. Raises UsageError when one is there already: it is somebody's."""
    paths = [folder / name for name in FILES]
    there = [path.name for path in paths if os.path.lexists(path)]
    if there:
        raise UsageError(
            f"{folder} has {', '.join(there)} already",
            meaning="an example would overwrite what is yours",
            fix="run it in an empty folder: mkdir example && cd example && aotpack init --example",
        )
    for path, text in zip(paths, FILES.values(), strict=True):
        write_whole(path, text.encode())
    return paths
