"""A token that Keystone gave to the sender, as `X-Auth-Token`: masakari-monitors send one, and Aodh's `trust+http`.

Keystone tells of a token only to those with the role `service` or `admin`, and to the user who has it. Aodh's is none
of its user's own, though it is his trust: healer needs that role to verify it, and who has none signs the URL instead.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar
from weakref import WeakValueDictionary

from pydantic import ConfigDict, Field, PrivateAttr, StringConstraints

from healer.authentication._headers import only
from healer.clouds.openstack import CloudError, OpenStack, objection
from healer.core.step import Failure
from healer.durations import PositiveDuration, spelled
from healer.plugins import Plugin
from healer.ports import Delivery, EngineError

LONGEST = 4096
"""Characters. A Fernet token has some two hundred, a signed one about a thousand; nothing longer is asked after."""
MOST = 1000
"""Tokens that are remembered."""

_Text = Annotated[str, StringConstraints(min_length=1)]


class Keystone(Plugin):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"cloud": "mine", "projects": ["8f23b7e6962941178a81f106a3e2fe86"], "roles": ["member"]}
            ]
        }
    )

    cloud: _Text
    """Its name in clouds.yaml, where healer's credentials are: of a user with the role `service`."""
    clouds_yaml: Path | None = None
    """None is where openstacksdk looks: `OS_CLIENT_CONFIG_FILE`, the working directory, `~/.config/openstack`,
    `/etc/openstack`."""
    projects: Annotated[frozenset[_Text], Field(min_length=1)]
    """Ids of projects; the token must be scoped to one of them. Aodh's is scoped to the project of the alarm."""
    roles: frozenset[_Text] = frozenset()
    """Names of roles that the token must carry, all of them."""
    remember: PositiveDuration = timedelta(minutes=1)
    """How long a token that was verified is not asked after again, and so may have been revoked."""
    timeout: PositiveDuration = timedelta(seconds=10)
    """How long Keystone may take; the sender is told to come back then."""

    needs_body: ClassVar[bool] = False

    _session: OpenStack = PrivateAttr()
    _verified: dict[bytes, datetime] = PrivateAttr(default_factory=dict)
    """SHA-256 of a token → until when it need not be asked after."""
    _asking: WeakValueDictionary[bytes, asyncio.Lock] = PrivateAttr(default_factory=WeakValueDictionary)
    """What comes many times at once is asked after once."""

    def model_post_init(self, _context: Any, /) -> None:
        self._session = OpenStack(self.cloud, self.clouds_yaml, self.timeout)

    def objections(self) -> Mapping[str, str]:
        found = objection(self.cloud, self.clouds_yaml)
        return {"cloud": found} if found else {}

    async def admits(self, delivery: Delivery) -> bool:
        token, now = only(delivery.headers, "X-Auth-Token") or "", delivery.received_at
        if not 0 < len(token) <= LONGEST or not token.isascii() or not token.isprintable() or " " in token:
            return False
        known = hashlib.sha256(token.encode()).digest()
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                async with self._asking.setdefault(known, asyncio.Lock()):
                    return self._verified.get(known, now) > now or await self._verifies(token, known, now)
        except TimeoutError:
            detail = f"Keystone of cloud {self.cloud} has not answered within {spelled(self.timeout)}"
            raise EngineError(Failure.UNREACHABLE, detail) from None

    async def close(self) -> None:
        await self._session.close()

    async def _verifies(self, token: str, known: bytes, now: datetime) -> bool:
        # Without the second header Keystone finds no token of a credential that is bound to access rules.
        headers = {"X-Subject-Token": token, "Openstack-Identity-Access-Rules": "1.0"}
        try:
            answer = await self._session.request(
                "identity", "GET", "/auth/tokens", params={"nocatalog": "1"}, headers=headers
            )
        except CloudError as error:
            if error.failure is Failure.GONE:
                return False
            raise EngineError(Failure.UNREACHABLE, error.detail, error.retry_after) from error
        try:
            expires_at = self._admitted_until(answer.body["token"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            detail = f"Keystone of cloud {self.cloud} has answered with something that describes no token"
            raise EngineError(Failure.UNREACHABLE, detail) from error
        if expires_at is None or expires_at <= now:
            return False
        self._verified.pop(known, None)
        while len(self._verified) >= MOST:
            del self._verified[next(iter(self._verified))]
        self._verified[known] = min(expires_at, now + self.remember)
        return True

    def _admitted_until(self, token: Mapping[str, Any]) -> datetime | None:
        """None where it is somebody else's, or has no project at all."""
        if token.get("project", {}).get("id") not in self.projects:
            return None
        if not self.roles <= {role["name"] for role in token["roles"]}:
            return None
        return datetime.fromisoformat(token["expires_at"]).astimezone(UTC)
