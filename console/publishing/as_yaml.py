"""A publication's manifests as text for GitOps: the same every time, and without a credential."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from console.catalog.types import Document
from console.config import Profile
from console.publishing.manifests import Manifest, credential_of, grant_for_authorizer, manifests
from console.publishing.types import Publication

_BETWEEN = re.compile(r"^---\n", re.MULTILINE)


def manifests_of(publication: Publication, profile: Profile) -> Document:
    """The objects in the order of their application."""
    objects = [
        grant_for_authorizer(publication.tenant, profile.gateway),
        *manifests(publication, profile.gateway, header_prefix=profile.access.header_prefix),
    ]
    shown = [_without_data(one) for one in objects]
    return Document("---\n".join(_commented(publication, one) for one in shown), shown)


def joined(documents: Sequence[Document]) -> Document:
    """Several as one; what they share stands in it once."""
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    for document in documents:
        for row, text in zip(document.rows, _BETWEEN.split(document.text), strict=True):
            if row not in rows:
                rows.append(row)
                texts.append(text)
    return Document("---\n".join(texts), rows)


def yaml_of(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


def _without_data(manifest: Manifest) -> Manifest:
    return {name: value for name, value in manifest.items() if manifest["kind"] != "Secret" or name != "data"}


def _commented(publication: Publication, manifest: Manifest) -> str:
    if manifest["kind"] != "Secret":
        return yaml_of(manifest)
    provider = credential_of(publication, manifest)
    comment = (
        f"# To be completed: stringData.apiKey is the credential for {provider}. It is not exported;\n"
        "# keep it out of git in clear (SealedSecret, External Secrets, SOPS).\n"
    )
    return comment + yaml_of(manifest)
