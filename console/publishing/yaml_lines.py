"""YAML that knows the line of everything in it, and only what a declaration needs of YAML.

No anchors, aliases, tags or merge keys, bounded in size and depth: nothing in the file is bigger than it looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

LARGEST = 256 * 1024
"""Characters of a file."""
_DEEPEST = 8
_KEY = "tag:yaml.org,2002:str"


class Wrong(Exception):
    """What is wrong, and where: ``line 7: …``."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")


@dataclass(frozen=True, slots=True)
class At:
    """A value and its line (from 1). A mapping holds an `At` for each key, a list one for each item."""

    value: Any
    line: int

    def mapping(self, path: str) -> Mapping[str, At]:
        if not isinstance(self.value, dict):
            raise Wrong(self.line, f"{path} is not a mapping of fields")
        return self.value

    def sequence(self, path: str) -> list[At]:
        if not isinstance(self.value, list):
            raise Wrong(self.line, f"{path} is not a list")
        return self.value

    def text(self, path: str) -> str:
        """A text as an option of the command line takes it."""
        if not isinstance(self.value, str):
            raise Wrong(self.line, f"{path} is not a text: write it in quotes")
        if not self.value or not self.value.isprintable() or len(self.value) > 1024:
            raise Wrong(self.line, f"{path} is empty, too long or cannot be printed")
        return self.value

    def integer(self, path: str) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise Wrong(self.line, f"{path} is not a whole number")
        return self.value


def read_yaml(text: str) -> At:
    """The one document of a text.

    Raises:
        Wrong: it is no YAML, or has what it must not have.
    """
    if len(text) > LARGEST:
        raise Wrong(1, f"the file has {len(text)} characters; {LARGEST} are the most")
    try:
        _refuse_tricks(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise Wrong(mark.line + 1 if mark else 1, f"this is no YAML: {problem.problem}") from None
    except yaml.YAMLError as problem:
        raise Wrong(1, f"this is no YAML: {type(problem).__name__}") from None
    if node is None:
        raise Wrong(1, "the file is empty")
    return _at(node)


def _refuse_tricks(text: str) -> None:
    """Look at the events before anything is built: an alias would be built as often as it is named."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Wrong(line, "anchors and aliases (& and *) are not read: write it out")
        if getattr(event, "tag", None) is not None:
            raise Wrong(line, "tags (!) are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise Wrong(line, f"it is nested more than {_DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _at(node: yaml.Node) -> At:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        fields: dict[str, At] = {}
        for key, value in node.value:
            where = key.start_mark.line + 1
            if key.tag != _KEY:
                raise Wrong(where, "a field's name is not a text")
            if key.value in fields:
                raise Wrong(where, f"{key.value[:40]!r} is there twice")
            found = _at(value)
            fields[key.value] = At(found.value, where)
        return At(fields, line)
    if isinstance(node, yaml.SequenceNode):
        return At([_at(item) for item in node.value], line)
    try:
        return At(yaml.SafeLoader("").construct_object(node, deep=True), line)
    except (ValueError, yaml.YAMLError):
        raise Wrong(line, f"{str(node.value)[:40]!r} cannot be read") from None
