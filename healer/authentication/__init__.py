"""How senders show who they are: one file, one way. Any way that a source names and that admits is enough."""

from __future__ import annotations
