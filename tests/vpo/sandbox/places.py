"""Where the interpreter of these tests lies."""

from __future__ import annotations

import sys

import pytest

# A box shows the interpreter, at its own path. One below /tmp makes that a folder of the host's, read only, in the box.
needs_own_tmp = pytest.mark.skipif(
    sys.prefix.startswith("/tmp/"), reason="the interpreter lies below /tmp, which is no scratch folder of a box then"
)
