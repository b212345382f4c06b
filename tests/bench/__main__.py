"""``make bench``: every measurement, or the ones that are named (``python -m tests.bench access sync``).

Each prints what it measures beside a floor or a peer taken in the same run; the ratios matter, not the seconds.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> None:
    here = Path(__file__).parent
    known = sorted(path.stem for path in here.glob("[a-z]*.py"))
    for name in names or known:
        if name not in known:
            sys.exit(f"there is no measurement {name}: {', '.join(known)}")
        print(f"\n== {name}")
        importlib.import_module(f"tests.bench.{name}").main()


main(sys.argv[1:])
