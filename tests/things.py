"""Real things to look at: a process of its own that answers HTTP, and can be frozen, thawed and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from healer.ports import Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVER = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"all is well")
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer.request_queue_size = 128
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass
class Thing:
    process: asyncio.subprocess.Process
    port: int
    physical_id: str

    @property
    def subject(self) -> Subject:
        values = {
            "address": "127.0.0.1",
            "port": str(self.port),
            "name": "web",
            "path": "web",
            "stack": "shop",
        }
        return Subject("shop/web", self.physical_id, values | {"physical_id": self.physical_id})

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def state_of(pid: int) -> str:
    """The kernel's letter for it: R runs, S sleeps, T is stopped, Z has ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def physical_id_of(pid: int) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{pid}:{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"


@asynccontextmanager
async def living_thing() -> AsyncIterator[Thing]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    thing = Thing(process, int(await process.stdout.readline()), physical_id_of(process.pid))
    try:
        yield thing
    finally:
        await thing.kill()
