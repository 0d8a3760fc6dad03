"""`python -m healer`, and the `healer` command."""

from __future__ import annotations

import sys

from healer.cli import main

if __name__ == "__main__":
    sys.exit(main())
