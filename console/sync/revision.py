"""A mark for "the way in which we read this provider's list".

A provider that answers "not modified" says so about its list, not about our reading of it. After a change in a
declaration or in a normaliser the list has to be read again; so the validators of the last answer are kept together
with this mark, and are void when it is another one. It follows from the sources themselves: nobody has to remember to
count it up.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
from importlib.metadata import version

from console.catalog import identity, prices, rows
from console.sync import normalise, records
from console.sync.providers import base
from console.sync.providers.base import ProviderSpec


def revision(spec: ProviderSpec) -> str:
    """16 hex digits, the same as long as the same list would become the same models."""
    declared = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.name != "odd"}
    text = "\n".join((repr(declared), _source(spec.odd), _shared()))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@functools.cache
def _shared() -> str:
    return "\n".join(_source(module) for module in (identity, prices, rows, normalise, records, base))


@functools.cache
def _source(thing: object) -> str:
    try:
        return inspect.getsource(thing)  # type: ignore[arg-type]
    except (OSError, TypeError):  # installed without sources
        return version("modeldeck")
