"""Talks to the running daemon over its unix socket."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from healer.ports import HealerError

TIMEOUT = 90.0
"""Seconds: longer than the daemon ever waits before it answers."""


class NoDaemonError(HealerError):
    """Nothing answers at the socket."""


class RefusedError(HealerError):
    """The daemon said no, in words; where it could not tell what was meant, with all that may be."""

    def __init__(self, status: int, reason: str, message: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(f"{message}: {', '.join(candidates)}" if candidates else message)
        self.status = status
        self.reason = reason


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("healer", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str, **query: Any) -> Any:
        """A list stands in the query as often as it has values, and None not at all."""
        wanted = {key: value for key, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(wanted, doseq=True)}" if wanted else path)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._call("POST", path, json.dumps(body or {}))

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except PermissionError as error:
            raise NoDaemonError(
                f"user {_me()} may not open {self._path}: ask as root, or as the daemon's own user"
            ) from error
        except TimeoutError as error:
            raise NoDaemonError(f"the daemon at {self._path} has not answered for {TIMEOUT:.0f} s") from error
        except OSError as error:
            raise NoDaemonError(
                f"no daemon answers at {self._path} ({error.strerror or error}); "
                "is it running? --socket or HEALER_SOCKET names another"
            ) from error
        except (http.client.HTTPException, ValueError) as error:
            raise NoDaemonError(f"what answers at {self._path} is not healer: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise _refused(response.status, response.reason, answer)
        return answer


def _refused(status: int, phrase: str, answer: Any) -> RefusedError:
    said = answer.get("error", {}) if isinstance(answer, dict) else {}
    message = said.get("message", phrase)
    return RefusedError(status, said.get("reason", "refused"), message, said.get("candidates", ()))


def _me() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
