"""How names become addresses without a dead resolver holding up anything else."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from concurrent.futures import Future
from threading import Lock, Thread

from aiohttp.abc import AbstractResolver, ResolveResult

MOST_AT_ONCE = 8
"""Names that one `Names` asks for at the same time; the others wait their turn."""

_Address = tuple[socket.AddressFamily, str]
_Answer = Future[list[_Address] | OSError]


class Names(AbstractResolver):
    """Asks the system's resolver, in threads of its own.

    Not in the loop's executor: there, a few names of a dead resolver keep every other blocking call of healer
    waiting for many seconds. The threads are daemonic, so that healer can also end at once. A question that takes
    longer than somebody's patience goes on, and whoever asks next takes its answer.
    """

    def __init__(self, patience_s: float = 0.25) -> None:
        """After `patience_s` seconds a caller gives up.

        The default is far below a probe's timeout: the silence that a probe runs into is never the resolver's.
        """
        self._patience_s = patience_s
        self._asked: dict[str, _Answer] = {}
        self._queue: deque[tuple[str, _Answer]] = deque()
        self._threads = 0
        self._lock = Lock()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses in the resolver's order, at least one. Raises OSError where there is none, or none yet."""
        asked = self._asked.get(host) or self._ask(host)
        answer = asyncio.wrap_future(asked)
        await asyncio.wait([answer], timeout=self._patience_s)
        if not answer.done():
            raise OSError(f"the resolver has not answered within {self._patience_s:g} s")
        if self._asked.get(host) is asked:
            del self._asked[host]
        addresses = answer.result()
        if isinstance(addresses, OSError):
            raise OSError(*addresses.args) from addresses
        found = [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
            for kind, address in addresses
            if family in {socket.AF_UNSPEC, kind}
        ]
        if not found:
            raise OSError("it has no address of this kind")
        return found

    async def close(self) -> None:
        """Nothing is held between two questions."""

    def _ask(self, host: str) -> _Answer:
        answer: _Answer = Future()
        answer.set_running_or_notify_cancel()  # one caller that is cancelled takes it from no other
        self._asked[host] = answer
        with self._lock:
            self._queue.append((host, answer))
            if self._threads >= MOST_AT_ONCE:
                return answer
            self._threads += 1
        try:
            Thread(target=self._work, name="names", daemon=True).start()
        except RuntimeError as error:  # the system has no thread to spare
            with self._lock:
                self._threads -= 1
                if (host, answer) not in self._queue:  # one of the others has taken it
                    return answer
                self._queue.remove((host, answer))
            answer.set_result(OSError(str(error)))
        return answer

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                host, answer = self._queue.popleft()
            answer.set_result(_look_up(host))


def _look_up(host: str) -> list[_Address] | OSError:
    try:
        # AI_ADDRCONFIG: where this machine has no address of a kind, it can reach nothing of that kind.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except OSError as error:
        return error
    except ValueError as error:  # a label that is too long, or not a name at all
        return OSError(f"it is no name: {error}")
    # A link-local address of IPv6 means nothing without its link.
    return [
        (kind, f"{where[0]}%{where[3]}" if len(where) == 4 and where[3] else str(where[0]))
        for kind, _, _, _, where in found
    ]
