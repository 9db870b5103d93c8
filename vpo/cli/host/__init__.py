"""What this machine and its environment have, part by part, and the cure where something is short: for `vpo doctor`.

Nothing here changes anything, and nothing here fails because something is missing: that is what it is there to say.
"""

from __future__ import annotations

from vpo.cli.host.finding import Finding, findings_table
from vpo.cli.host.machine import machine_findings
from vpo.cli.host.optional_parts import optional_findings
from vpo.cli.host.stack import stack_findings

__all__ = ["Finding", "findings_table", "machine_findings", "optional_findings", "stack_findings"]
