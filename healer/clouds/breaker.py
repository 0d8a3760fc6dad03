"""What keeps a cloud that does not answer from being asked again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Lock


class Breaker:
    """Counts calls in a row that got no answer; after `trips_after` of them nobody may call for a while.

    Then one call is let through. If it gets no answer either, the wait doubles, up to `longest_s`; an answer ends
    it. The waits are spread by a quarter, so that several daemons do not come back together. Safe for threads.
    """

    def __init__(
        self,
        trips_after: int = 5,
        first_s: float = 10.0,
        longest_s: float = 120.0,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """Five in a row are no accident; two minutes are what a person bears after mending the cloud."""
        self._trips_after = trips_after
        self._first_s = first_s
        self._longest_s = longest_s
        self._elapsed = elapsed
        self._unanswered = 0
        self._wait_s = first_s
        self._closed_until = 0.0
        self._lock = Lock()

    def refused_for(self) -> float:
        """Seconds until somebody may call again. 0: call now, and say with `answered` how it went."""
        with self._lock:
            left = self._closed_until - self._elapsed()
            if self._unanswered < self._trips_after:
                return 0.0
            if left > 0:
                return left
            # This caller is the one that finds out; the others wait for what it says.
            self._closed_until = self._elapsed() + self._wait_s
            return 0.0

    def answered(self, answered: bool) -> None:
        """What came of a call. Any answer is one, also a refusal."""
        with self._lock:
            if answered:
                self._unanswered, self._wait_s = 0, self._first_s
                return
            self._unanswered += 1
            if self._unanswered >= self._trips_after:
                self._closed_until = self._elapsed() + self._wait_s * random.uniform(0.75, 1.25)
                self._wait_s = min(self._wait_s * 2, self._longest_s)
