"""`python -m vpo.cli`: the command where its script is not installed."""

from __future__ import annotations

import sys

from vpo.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
