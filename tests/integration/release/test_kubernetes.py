"""What the documentation gives to Kubernetes, against the schemas that Kubernetes publishes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages.exporting import ROOT

pytestmark = pytest.mark.release

#: Run by a Python that has kubernetes-validate: prints the kind of each document in a page that is Kubernetes' own.
PROGRAM = """
import re, sys, kubernetes_validate, yaml
version = kubernetes_validate.latest_version()
for block in re.findall(r"```yaml\\n(.*?)```", open(sys.argv[1], encoding="utf-8").read(), re.DOTALL):
    for document in yaml.safe_load_all(block):
        if "." in document["apiVersion"].partition("/")[0]:
            continue  # of somebody who extends it
        kubernetes_validate.validate(document, version, strict=True)
        print(document["kind"])
"""


@pytest.fixture(scope="module")
def validating() -> Path:
    """A Python that has kubernetes-validate, which brings all schemas (100 MB)."""
    python = ROOT / ".cache" / "kubernetes" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "kubernetes-validate"], check=True)
    return python


@pytest.mark.parametrize(("page", "kinds"), [("release.md", ["Job"]), ("serving.md", ["Deployment", "Service"])])
def test_documents_follow_the_published_schemas(page: str, kinds: list[str], validating: Path) -> None:
    command = [validating, "-c", PROGRAM, ROOT / "docs" / page]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, kinds), done.stderr
