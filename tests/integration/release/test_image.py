"""Archives, images and pushes against tools that are not ours."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aotpack.errors import AotpackError
from aotpack.release.packing import Release
from aotpack.verifying.static import check_static
from tests.integration.release.conftest import packed, tree
from tests.support.machines import isolation


def ran(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def test_zstd_is_the_same_on_any_number_of_cores_and_unpacks(small: Path, tmp_path: Path) -> None:
    first = packed(small, "tar.zst", tmp_path / "first.tar.zst")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        second = packed(small, "tar.zst", tmp_path / "second.tar.zst")
    finally:
        os.sched_setaffinity(0, cores)
    assert first.digest == second.digest
    plain = packed(small, "tar", tmp_path / "plain.tar")
    assert first.size < plain.size / 2
    if shutil.which("zstd") is None:
        isolation.unproved("zstd is not installed")
    ran("tar", "--zstd", "-xf", first.output, "-C", tmp_path)
    assert tree(tmp_path / "mlp") == tree(small)
    assert not check_static(tmp_path / "mlp").problems


def test_a_registry_that_is_not_there(small: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and never listening
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(AotpackError, match="localhost:"):
            packed(small, "oci", tmp_path / "image", push=f"localhost:{taken.getsockname()[1]}/mlp:1")
    assert (tmp_path / "image" / "oci-layout").is_file()


@pytest.fixture(scope="module")
def image(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return packed(small, "oci", tmp_path_factory.mktemp("image") / "layout", tag="mlp:1.0")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on loopback: its host and port."""
    yield from served(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One that asks for the user `me` and the password `secret`."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "users").write_text("me:$2b$04$0HZ/7fQP5VJLMTRO4SzBD.GLoD.Y8EtAJ9XsFt0IW.OdtoW/Vd3S6\n")
    yield from served(folder, auth={"htpasswd": {"realm": "a registry", "path": str(folder / "users")}})


def served(folder: Path, **settings: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings |= {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"localhost:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.release
def test_skopeo_and_umoci_read_the_layout(image: Release, small: Path, tmp_path: Path) -> None:
    shown = json.loads(ran("skopeo", "inspect", f"oci:{image.output}:1.0"))
    assert shown["Digest"] == image.digest
    assert (shown["Os"], shown["Created"]) == ("linux", "1980-01-01T00:00:00Z")
    assert shown["Labels"]["org.opencontainers.image.version"] == "1.0"
    ran("skopeo", "copy", f"oci:{image.output}:1.0", f"dir:{tmp_path / 'copied'}")
    ran("umoci", "unpack", "--image", f"{image.output}:1.0", tmp_path / "unpacked")
    assert tree(tmp_path / "unpacked" / "rootfs" / "opt" / "aotpack") == tree(small)


@pytest.mark.release
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_runtime_starts_it(runtime: str, image: Release, tmp_path: Path) -> None:
    """As nobody in particular, without a network, from a root that cannot be written, with nothing else in it."""
    ran("umoci", "unpack", "--image", f"{image.output}:1.0", tmp_path / "unpacked")
    path = tmp_path / "unpacked" / "config.json"
    config = json.loads(path.read_text())
    assert config["process"]["user"] == {"uid": 65532, "gid": 65532}
    assert config["process"]["args"] == ["/opt/aotpack/bin/aotrun", "info"]
    config["process"] |= {"terminal": False, "args": ["/opt/aotpack/bin/aotrun", "check", "--model", "mlp", "--json"]}
    config["root"]["readonly"] = True
    # Tests run where no one manages cgroups.
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/sys/fs/cgroup"]
    config["linux"].pop("resources", None)
    path.write_text(json.dumps(config))
    options = ["--cgroup-manager=disabled"] if runtime == "crun" else []
    name = f"aotpack-test-{os.getpid()}"
    command = [runtime, "--root", tmp_path / "state", *options, "run", "-b", tmp_path / "unpacked", name]
    if runtime == "crun":  # of a machine with both generations of cgroups it wants to see the second alone
        alone = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", alone, "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert "model" in " ".join(check["name"] for check in report["checks"])


@pytest.mark.release
def test_we_push_what_skopeo_pulls_and_the_other_way_round(
    image: Release, small: Path, registry: str, tmp_path: Path
) -> None:
    pushed = packed(small, "oci", tmp_path / "image", push=f"{registry}/team/mlp:1.0")
    digest = str(pushed.digest)
    assert pushed.pushed == f"{registry}/team/mlp@{digest}"
    inspected = ran("skopeo", "inspect", "--tls-verify=false", f"docker://{registry}/team/mlp:1.0")
    assert json.loads(inspected)["Digest"] == digest
    again = packed(small, "oci", tmp_path / "image", push=f"{registry}/team/mlp:1.0")
    assert again == pushed
    copied = f"oci:{tmp_path / 'pulled'}:1.0"
    ran("skopeo", "copy", "--src-tls-verify=false", f"docker://{registry}/team/mlp@{digest}", copied)
    ran("umoci", "unpack", "--image", f"{tmp_path / 'pulled'}:1.0", tmp_path / "unpacked")
    assert tree(tmp_path / "unpacked" / "rootfs" / "opt" / "aotpack") == tree(small)
    other = f"docker://{registry}/by-skopeo:1.0"
    ran("skopeo", "copy", "--dest-tls-verify=false", f"oci:{image.output}:1.0", other)
    assert json.loads(ran("skopeo", "inspect", "--tls-verify=false", other))["Digest"] == image.digest


@pytest.mark.release
def test_a_registry_that_asks_who_pushes(
    guarded: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login is found where skopeo and podman keep it, and where docker does."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    target = f"{guarded}/team/mlp:1.0"
    with pytest.raises(AotpackError, match="asks for a login"):
        packed(small, "oci", tmp_path / "image", push=target)
    ran("skopeo", "login", "--tls-verify=false", "-u", "me", "-p", "secret", guarded)
    kept = tmp_path / "run" / "containers" / "auth.json"
    pushed = packed(small, "oci", tmp_path / "image", push=target)
    assert pushed.pushed == f"{guarded}/team/mlp@{pushed.digest}"
    shown = ran("skopeo", "inspect", "--tls-verify=false", f"docker://{target}")
    assert json.loads(shown)["Digest"] == pushed.digest
    (tmp_path / ".docker").mkdir()
    kept.rename(tmp_path / ".docker" / "config.json")
    assert packed(small, "oci", tmp_path / "image", push=target) == pushed
    kept.write_text(json.dumps({"auths": {f"{guarded}/team": {"auth": "bWU6d3Jvbmc="}}}))  # me:wrong
    with pytest.raises(AotpackError, match="authentication required"):
        packed(small, "oci", tmp_path / "image", push=target)
    kept.write_text("{")
    with pytest.raises(AotpackError, match="holds no logins"):
        packed(small, "oci", tmp_path / "image", push=target)
