"""`aotrun serve` and the client that most of its users have: Triton's, from PyPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles.serving import serving
from tests.support.packages.exporting import ROOT

pytestmark = pytest.mark.clients

PACKAGES = ("tritonclient[http]", "kubernetes-validate", "PyYAML")

#: Metadata, tensors as bytes and as JSON, several callers at once, an error; prints how many answers were right.
PROGRAM = """
import sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1], concurrency=8)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("mlp", "1")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "sequence"]
name = client.get_model_metadata("mlp")["outputs"][0]["name"]


def asked(x, binary=True):
    tensor = triton.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x, binary_data=binary)
    return {"inputs": [tensor], "outputs": [triton.InferRequestedOutput(name, binary_data=binary)]}


rng = np.random.default_rng(0)
batches = [rng.standard_normal((1 + n % 5, 64), dtype=np.float32) for n in range(200)]
alone = [client.infer("mlp", **asked(x), request_id=str(n), timeout=10_000_000) for n, x in enumerate(batches)]
assert [answer.get_response()["id"] for answer in alone] == [str(n) for n in range(200)]
together = [client.async_infer("mlp", **asked(x)) for x in batches]
right = 0
for x, first, second in zip(batches, alone, together):
    y = first.as_numpy(name)
    assert y.shape == (len(x), 10)
    np.testing.assert_allclose(second.get_result().as_numpy(name), y, rtol=1e-4, atol=1e-5)
    right += 1
text = client.infer("mlp", **asked(batches[0], binary=False)).as_numpy(name)
np.testing.assert_allclose(text, alone[0].as_numpy(name), rtol=1e-5, atol=1e-6)
default = client.infer("mlp", asked(batches[0])["inputs"]).as_numpy(name)
np.testing.assert_array_equal(default, alone[0].as_numpy(name))
try:
    client.infer("mlp", **asked(np.zeros((1, 63), np.float32)))
except InferenceServerException as error:
    assert "has shape [1, 63]" in error.message() and error.status() == "400", error
else:
    raise AssertionError("no error")
print(right)
"""


#: Validates the manifests of a document by Kubernetes' own schemas; prints their kinds. KServe's are in no package.
MANIFESTS = """
import re, sys
import kubernetes_validate, yaml

text = open(sys.argv[1], encoding="utf-8").read()
documents = [each for block in re.findall(r"```yaml\\n(.*?)```", text, re.S) for each in yaml.safe_load_all(block)]
for document in documents:
    if "kserve" not in document["apiVersion"]:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    print(document["kind"])
"""


@pytest.fixture(scope="module")
def triton() -> Path:
    """A Python that has tritonclient."""
    python = ROOT / ".cache" / "clients" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


@pytest.mark.parametrize("words", [(), ("--max-batch", "64", "--max-delay-ms", "1"), ("--workers", "2")])
def test_tritons_client(bundle: Path, triton: Path, words: tuple[str, ...]) -> None:
    with serving(bundle, *words) as server:
        command = [triton, "-W", "ignore", "-c", PROGRAM, f"127.0.0.1:{server.port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


def test_the_manifests_of_the_docs(triton: Path) -> None:
    command = [triton, "-c", MANIFESTS, ROOT / "docs" / "serving.md"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["Deployment", "Service", "InferenceService"]), done.stderr
