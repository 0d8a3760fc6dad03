"""A healer that takes what is in a queue, says how many alarms there were, and is then about to store them for ever.

python takes.py URL PROJECT QUEUE
"""

from __future__ import annotations

import asyncio
import sys

from healer.clock import BootClock
from healer.pulls.zaqar import Zaqar


async def main() -> None:
    url, project, queue = sys.argv[1:]
    pull = Zaqar(url=url, project=project, queue=queue)
    batch = await pull.pull("zaqar", BootClock().now())
    sys.stdout.write(f"{len(batch.alarms)}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
