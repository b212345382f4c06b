"""Sample models in the providers' own wire formats (reference/originals.md §2.1, and their API documents).

Written apart from console/sync: were a unit or a field misread there, the samples would not be wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

from console.local.samples.source import SampleModel
from console.local.samples.wire import gateways, hosts, makers, routers
from console.local.samples.wire.form import Pages, Record, WireFormat

FORMATS = {**routers.FORMATS, **makers.FORMATS, **hosts.FORMATS, **gateways.FORMATS}

__all__ = ["FORMATS", "Pages", "Record", "WireFormat", "endless"]


def endless(slug: str, model: SampleModel) -> Iterator[Record]:
    """A list without an end."""
    number = 0
    while True:
        number += 1
        record = FORMATS[slug].record(model)
        record["id" if "id" in record else "model_name"] += f"-{number}"
        yield record
