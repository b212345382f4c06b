"""SGR, the escape sequence of colours and weights: from one style to the next in few bytes.

A style is a text of SGR parameters in one canonical form (`canonical`), with a hyperlink after a NUL where it has one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

PLAIN = ""
_LINK = "\x00"

# What switches an attribute off; some share a switch.
_OFF = {
    "1": "22",
    "2": "22",
    "3": "23",
    "4": "24",
    "5": "25",
    "6": "25",
    "7": "27",
    "8": "28",
    "9": "29",
    "21": "24",
    "51": "54",
    "52": "54",
    "53": "55",
}
# Attributes that a blank cell shows.
_VISIBLE_ON_BLANKS = {"4", "7", "9", "21", "51", "52", "53"}


@dataclass(frozen=True, slots=True)
class _Parts:
    attributes: frozenset[str]
    foreground: str
    background: str
    link: str


@lru_cache(maxsize=16384)
def _parts(style: str) -> _Parts:
    parameters, _, link = style.partition(_LINK)
    attributes: set[str] = set()
    foreground = background = ""
    codes = iter(parameters.split(";") if parameters else ())
    for code in codes:
        if code in ("38", "48"):
            kind = next(codes)
            colour = ";".join([code, kind, *(next(codes) for _ in range(1 if kind == "5" else 3))])
            if code == "38":
                foreground = colour
            else:
                background = colour
        elif code in _OFF:
            attributes.add(code)
        elif code == "39" or 30 <= int(code) <= 37 or 90 <= int(code) <= 97:
            foreground = "" if code == "39" else code
        elif code == "49" or 40 <= int(code) <= 47 or 100 <= int(code) <= 107:
            background = "" if code == "49" else code
        else:
            raise ValueError(f"not an SGR parameter that a style may have: {code}")
    return _Parts(frozenset(attributes), foreground, background, link)


@lru_cache(maxsize=16384)
def canonical(parameters: str, link: str = "") -> str:
    """One text for every way to write a style. Raises ValueError for parameters that are not a style's."""
    parts = _parts(parameters)
    text = ";".join(filter(None, (*sorted(parts.attributes, key=int), parts.foreground, parts.background)))
    # A link that could steer the terminal is no link.
    return f"{text}{_LINK}{link}" if link and link.isprintable() else text


@lru_cache(maxsize=16384)
def transition(before: str | None, after: str) -> str:
    """The bytes that take a terminal from one style to another; ``None`` is one that nobody knows, without a link."""
    if before == after:
        return ""
    new = _parts(after)
    old = _parts(before or PLAIN)
    link = "" if old.link == new.link else _link(new.link)
    from_nothing = ";".join(filter(None, ("0", *sorted(new.attributes, key=int), new.foreground, new.background)))
    if from_nothing == "0":
        from_nothing = ""
    if before is None:
        return f"{link}\x1b[{from_nothing}m"
    step = _step(old, new)
    if not step:
        return link
    return f"{link}\x1b[{min(from_nothing, step, key=len)}m"


def _step(old: _Parts, new: _Parts) -> str:
    off = {_OFF[attribute] for attribute in old.attributes - new.attributes}
    # A switch that serves two attributes also ended the one that stays.
    on = {a for a in new.attributes if a not in old.attributes or _OFF[a] in off}
    codes = [*sorted(off, key=int), *sorted(on, key=int)]
    if old.foreground != new.foreground:
        codes.append(new.foreground or "39")
    if old.background != new.background:
        codes.append(new.background or "49")
    return ";".join(codes)


def without_link(style: str) -> str:
    return style.partition(_LINK)[0]


def _link(target: str) -> str:
    if not target:
        return "\x1b]8;;\x1b\\"
    # The same id for the same target, so that a link over two lines is one link.
    return f"\x1b]8;id={zlib.crc32(target.encode()):x};{target}\x1b\\"


def erases_alike(style: str, *, with_background: bool) -> bool:
    """Whether erasing to the end of a line leaves the same picture as writing blanks in this style.

    with_background   the terminal erases in the current background (most do; GNU screen does not)
    """
    parts = _parts(style)
    return not parts.link and not parts.attributes & _VISIBLE_ON_BLANKS and (with_background or not parts.background)
