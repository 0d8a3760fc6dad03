"""Names for incidents and repairs: ULIDs, which sort by the time at which they were given."""

from __future__ import annotations

import hashlib
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Ids:
    """Gives a new name each time; the same nonce and the same moments give the same names.

    What cannot be foreseen comes in once, as the nonce: the core itself stays pure, and a history can be replayed.
    """

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._given = 0

    def new(self, now: datetime) -> str:
        self._given += 1
        entropy = hashlib.blake2b(self._given.to_bytes(8), key=self._nonce, digest_size=10).digest()
        number = int(now.timestamp() * 1000) << 80 | int.from_bytes(entropy)
        return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
