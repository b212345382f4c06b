"""``modeldeck`` and ``python -m console``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with the outcome's code (docs/outcomes.md)."""
    from console.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
