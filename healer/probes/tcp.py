"""Is somebody listening: opens a TCP connection, and says and hears nothing on it.

The kernel accepts for a process that hangs: `http` notices that, this does not.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, PrivateAttr

from healer.core.model import Health, Symptom
from healer.names import Names
from healer.plugins import Plugin
from healer.ports import Sight, Subject
from healer.probes._placeholders import MissingValueError, Template, fill, placeholders
from healer.probes._sockets import failed


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535:
        return int(text)
    raise ValueError(f"{text!r} is no port; expected 1 to 65535, or a placeholder like {{port}}")


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _port(text: str) -> str:
    if not placeholders(text):
        _number(text)
    return text


class Tcp(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    host: Template = "{address}"
    """Address or name, with placeholders. The default is the address of what is probed."""
    port: Annotated[Template, BeforeValidator(_text), AfterValidator(_port)] = "{port}"
    """A number, or a placeholder. The default is the port of what is probed."""

    _names: Names = PrivateAttr(default_factory=Names)

    async def probe(self, subject: Subject) -> Sight:
        try:
            host, port = fill(self.host, subject.values), _number(fill(self.port, subject.values))
        except (MissingValueError, ValueError) as error:
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, str(error))
        try:
            addresses = await self._addresses(host)
        except OSError as error:
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, f"{host} has no address: {error}")
        sights = []
        for address in addresses:
            sights.append(await _connect(address, port))
            if sights[-1].health is Health.HEALTHY:
                return sights[-1]
        return next((sight for sight in sights if sight.health is Health.UNHEALTHY), sights[0])

    async def _addresses(self, host: str) -> list[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            return [found["host"] for found in await self._names.resolve(host)]


async def _connect(address: str, port: int) -> Sight:
    where = f"{address} port {port}"
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, address, port)
    except OSError as error:
        return failed(error, where)
    transport.close()
    return Sight(Health.HEALTHY, Symptom.OK, f"{where} accepts connections")
