"""Pushing an image layout to a registry, by the oras library, with the login that docker, podman or skopeo keep."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
from pathlib import Path
from typing import Any

from aotpack.errors import AotpackError
from aotpack.release.contents import Progress
from aotpack.release.oci import INDEX, Reference
from aotpack.tools.libraries import need

#: Bytes from which a layer is sent in pieces: oras reads what it sends at once into memory.
_LARGE = 1 << 28
#: Seconds for a registry to answer that it is there.
_PATIENCE = 15


def push(layout: Path, target: Reference, done: Progress) -> str:
    """Push the one image of a layout.

    Args:
        layout: its folder.
        target: registry, name and tag.
        done: called with the bytes that are there now.

    Returns:
        Its reference by digest: `REGISTRY/NAME@sha256:...`.

    Raises:
        BuildToolError: the library is not installed.
        AotpackError: the registry cannot be reached, or refuses.
    """
    provider = need("oras.provider", "oras", "a push to a registry")
    requests = need("requests", "requests", "a push to a registry")
    descriptor = json.loads((layout / INDEX).read_bytes())["manifests"][0]
    content = _blob(layout, descriptor).read_bytes()
    manifest = json.loads(content)
    insecure = _is_loopback(target.registry)
    try:
        # oras asks a registry that is not there for minutes; whatever this one answers, it is there.
        place = f"{'http' if insecure else 'https'}://{target.registry}/v2/"
        asked = requests.get(place, timeout=_PATIENCE).headers.get("Www-Authenticate", "")
        kind = "basic" if asked.lower().startswith("basic") else "token"
        registry = provider.Registry(hostname=target.registry, insecure=insecure, auth_backend=kind)
        container = registry.get_container(str(target))
        login = _login(target)
        if login is not None:
            registry.auth.set_basic_auth(*login)
        else:
            registry.auth.load_configs(container)  # docker's, and its helpers'
        if kind == "basic" and not hasattr(registry.auth, "_basic_auth"):
            raise _refused(target, "the registry asks for a login")
        for layer in (*manifest["layers"], manifest["config"]):
            large = layer["size"] > _LARGE
            blob = str(_blob(layout, layer))
            _check(registry.upload_blob(blob, container, layer, do_chunked=large), target)
            done(layer["size"])
        # As it is, byte for byte: the registry knows the image by the hash of these bytes.
        url = f"{registry.prefix}://{container.manifest_url()}"
        headers = {"Content-Type": descriptor["mediaType"]}
        _check(registry.do_request(url, "PUT", headers=headers, data=content), target)
    except (requests.RequestException, ValueError, OSError) as error:
        raise _refused(target, str(error)) from error
    return f"{target.registry}/{target.name}@{descriptor['digest']}"


def _login(target: Reference) -> tuple[str, str] | None:
    """User and password for a registry, or a part of it, as podman and skopeo keep them; None where they have none.

    Raises OSError, ValueError.
    """
    named, runtime = os.environ.get("REGISTRY_AUTH_FILE"), os.environ.get("XDG_RUNTIME_DIR")
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    mine = f"{runtime}/containers" if runtime else f"/run/containers/{os.getuid()}"
    places = [named] if named else [f"{mine}/auth.json", f"{settings}/containers/auth.json"]
    for path in filter(Path.is_file, map(Path, places)):
        try:
            logins = json.loads(path.read_bytes()).get("auths", {})
            part = f"{target.registry}/{target.name}"
            while part:
                if "auth" in logins.get(part, {}):
                    user, _, password = base64.b64decode(logins[part]["auth"]).decode().partition(":")
                    return user, password
                part = part.rpartition("/")[0]
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} holds no logins: {error}") from error
    return None


def _blob(layout: Path, descriptor: dict[str, Any]) -> Path:
    return layout / "blobs" / "sha256" / str(descriptor["digest"]).partition(":")[2]


def _is_loopback(registry: str) -> bool:
    """Whether a registry is on this machine, where tools speak plain HTTP to it."""
    host = registry.rpartition(":")[0] or registry
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check(response: Any, target: Reference) -> None:
    if response.status_code not in (200, 201, 202):
        raise _refused(target, f"status {response.status_code} {response.reason}: {response.text[:200]}")


def _refused(target: Reference, reason: str) -> AotpackError:
    return AotpackError(
        f"{target}: {reason.splitlines()[0] if reason else 'the push failed'}",
        meaning="the registry was not reached, or does not let this user write there; the layout on disk is whole",
        fix=f"docker login {target.registry} (or podman, skopeo), then push again",
    )
