"""The pictures of the README, and the table of keys in docs/console.md: `make pictures`.

The pictures come from a scripted console, so they repeat exactly.

.venv/bin/python -m tests.pictures [DIRECTORY]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support import keymap, world
from tests.support.console import Script, frozen, scripted, settled, shows

DIRECTORY = Path(__file__).parents[1] / "docs" / "pictures"
SIZE = (112, 28)
PICTURES: dict[str, tuple[Callable[[], Script], tuple[str, ...]]] = {
    "overview": (lambda: world.prod(armed=581.0), ()),
    "publish": (world.world, ("2", "/", "'provider:deepinfra llama-3.1", "enter", "p", "'acme", "enter")),
    "rotation": (world.world, ("5", "down")),
    "usage": (world.world, ("0",)),
}
"""By name: a script, and the keys that lead to the picture; what begins with a quote is typed."""


async def draw(name: str) -> str:
    """One picture, as SVG."""
    make, keys = PICTURES[name]
    app = scripted(make())
    async with app.run_test(size=SIZE) as pilot:
        await shows(app, "Health")
        await settled(app)
        for key in keys:
            await pilot.press(*(key[1:] if key.startswith("'") else (key,)))
            await settled(app)
        return app.export_screenshot(title=f"modeldeck: {name}")


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        with frozen():
            svg = asyncio.run(draw(name))
        file = directory / f"{name}.svg"
        file.write_text(svg, "utf-8")
        print(f"{file}  {len(svg) // 1024} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY)
    keymap.write()
