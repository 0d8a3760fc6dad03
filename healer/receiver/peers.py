"""Who is at the other end of the API's unix socket, and what they may do."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aiohttp import web

_CREDENTIALS = struct.Struct("iII")
"""pid, uid, gid: `struct ucred` of Linux."""


class Right(IntEnum):
    NONE = 0
    READ = 1
    OPERATE = 2


@dataclass(frozen=True, slots=True)
class Peer:
    uid: int
    name: str
    right: Right


@dataclass(frozen=True, slots=True)
class Rights:
    """Root and the daemon's own user may do everything; others what the configuration gives them."""

    operators: frozenset[int]
    readers: frozenset[int]

    @classmethod
    def named(cls, operators: Iterable[str | int], readers: Iterable[str | int]) -> Rights:
        """Users by name or number. Whoever does not exist here cannot connect either; `check` warns of them."""
        return cls(_uids(operators) | {0, os.geteuid()}, _uids(readers))

    def peer(self, request: web.Request) -> Peer:
        uid = _peer_uid(request)
        right = Right.READ if uid in self.readers else Right.NONE
        right = Right.OPERATE if uid in self.operators else right
        return Peer(uid, _name(uid), right)


def _uids(users: Iterable[str | int]) -> frozenset[int]:
    return frozenset(uid for uid in map(_uid, users) if uid is not None)


def _uid(user: str | int) -> int | None:
    try:
        return user if isinstance(user, int) else pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _peer_uid(request: web.Request) -> int:
    """The kernel's word for who connected, which nobody can forge."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        return -1
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
