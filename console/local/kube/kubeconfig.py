"""Kubeconfigs for the identities of the local stack.

client-go, and so kubectl, sends no bearer token to a server without TLS: clientcmd reads the user's credentials "only
if we are secure". It does send what the user impersonates. So the token stands in the kubeconfig twice: as ``token``,
which other clients send, and as an extra of the impersonated user, which arrives as the header that
`console.local.kube.access` reads where there is no ``Authorization``. The other extra tells this from real
impersonation (`kubectl --as`), which is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from console.local.kube.access import TOKEN_EXTRA, USER_EXTRA


def write_kubeconfig(path: Path, *, server: str, token: str, user: str, namespace: str | None = None) -> None:
    """Write a kubeconfig with one context, mode 0600, in one step: nobody ever reads half of it.

    It is JSON, which is YAML: kubectl and every client read it.
    """
    context: dict[str, Any] = {"cluster": "modeldeck", "user": user}
    if namespace:
        context["namespace"] = namespace
    extra = {TOKEN_EXTRA: [token], USER_EXTRA: [user]}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "modeldeck", "cluster": {"server": server}}],
        "users": [{"name": user, "user": {"token": token, "as": user, "as-user-extra": extra}}],
        "contexts": [{"name": "modeldeck", "context": context}],
        "current-context": "modeldeck",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(content, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
