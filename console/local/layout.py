"""Where the embedded stack keeps its things, and its secrets.

Everything is below one directory with mode 0700. Secrets are files with mode 0600, made at the first start; they are
the stack's own logins, never an issued key.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from console.outcome import Refusal


class Layout:
    """The paths below a data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        self.secrets = root / "secrets"
        self.kubeconfigs = root / "kubeconfigs"
        self.valkey = root / "valkey"
        self.envoy = root / "envoy"
        self.key_table = root / "envoy" / "keys"
        self.database = root / "modeldeck.db"
        self.cluster = root / "kubernetes.db"
        self.profile = root / "profile.toml"
        self.state = root / "stack.json"
        self.ports = root / "ports.json"
        self.lock = root / "lock"

    def create(self) -> None:
        """Make the directories.

        Raises:
            Refusal: we may not write there.
        """
        try:
            for directory in (self.root, self.logs, self.secrets, self.kubeconfigs, self.valkey, self.envoy):
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self.root, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied", str(self.root))
        except OSError as problem:
            raise Refusal(
                f"the stack cannot keep its data in {self.root}: {problem.strerror}; nothing was started",
                code="NO_WRITE_PERMISSION",
                then="set MODELDECK_DATA to a directory that you may write",
            ) from None

    def secret(self, name: str) -> SecretStr:
        """A secret of the stack, made the first time."""
        path = self.secrets / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24))
        return SecretStr(path.read_text("utf-8").strip())

    def api_token(self) -> str:
        """The token for the HTTP API, made the first time; its file holds it as it is sent."""
        path = self.secrets / "api-token"
        if not path.exists():
            write_private(path, f"mdt_{secrets.token_urlsafe(32)}")
        return path.read_text("utf-8").strip()

    def kubeconfig(self, identity: str) -> Path:
        return self.kubeconfigs / f"{identity}.yaml"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"


def write_private(path: Path, text: str) -> None:
    """Replace a file in one move; nobody but us may read it at any moment."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(path)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(document, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The document, or None where there is none that can be read."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
