"""One session to one OpenStack cloud of clouds.yaml: openstacksdk's authentication, off the event loop."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import requests
from keystoneauth1 import exceptions as keystone
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import ConfigException, NotSupported, ServiceDiscoveryException

from healer.clouds.breaker import Breaker
from healer.clouds.threads import Threads
from healer.core.model import NOTHING
from healer.core.step import Failure
from healer.ports import EngineError

CONNECT_S = 10.0
"""Seconds until a connection must stand; what is farther away than that does not answer."""
AT_ONCE = 4
"""Calls to one cloud at the same time: a healer must not be what overloads it."""
LONGEST_DETAIL = 500

_SECRET = re.compile(r"password|secret|token|passcode|assertion", re.IGNORECASE)
_CONFIGURED_WRONGLY = (
    ConfigException,
    NotSupported,
    ServiceDiscoveryException,
    keystone.AuthPluginException,
    keystone.CatalogException,
    keystone.MissingAuthMethods,
)


class CloudError(EngineError):
    """A service of the cloud refused a call, or did not answer it."""

    def __init__(
        self, failure: Failure, detail: str, retry_after: timedelta | None = None, kind: str = ""
    ) -> None:
        """`kind` is the service's own name for the error, e.g. `PhysicalResourceIDAmbiguity`."""
        super().__init__(failure, detail, retry_after)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer."""

    status: int
    body: Any
    """Parsed where it is JSON, else None: Heat's PATCH answers 202 with HTML."""


class OpenStack:
    """One cloud of clouds.yaml. Nothing is asked of it before the first `request`.

    The blocking client runs in a few threads of its own. They are daemons: a cloud that hangs holds up neither
    the rest of healer nor its end. What is retried, and when, is the caller's business.
    """

    def __init__(
        self,
        cloud: str,
        clouds_yaml: Path | None = None,
        request_timeout: timedelta = timedelta(seconds=90),
        breaker: Breaker | None = None,
    ) -> None:
        """`clouds_yaml`: None is where openstacksdk looks (and its OS_ variables); a path overrides those.

        `request_timeout` must exceed the minute after which a service says itself that its engine is silent:
        the default leaves it half of that again.
        """
        self.cloud = cloud
        self._clouds_yaml = clouds_yaml
        self._timeout_s = request_timeout.total_seconds()
        self._breaker = breaker or Breaker()
        self._connection: Connection | None = None
        self._connecting = Lock()
        self._secrets: tuple[str, ...] = ()
        self._threads = Threads(f"cloud {cloud}", AT_ONCE)

    async def request(
        self,
        service: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = NOTHING,
        body: Any = None,
    ) -> Answer:
        """One call to `service` (`orchestration`, `compute`, …), `path` relative to its endpoint.

        Redirects are followed, and the method repeated. Raises CloudError: FORBIDDEN (401, 403), GONE (404), BUSY
        (409), REJECTED (any other 4xx, or a cloud that clouds.yaml does not have), UNREACHABLE (no answer, 408,
        429, 5xx, or too many of those before): then what happened is unknown.
        """
        if wait_s := self._breaker.refused_for():
            # No number of seconds in it: the same sentence as before is no news.
            detail = f"cloud {self.cloud} has not answered lately, and is asked again within two minutes"
            raise CloudError(Failure.UNREACHABLE, detail, timedelta(seconds=wait_s))
        try:
            sent = {"params": params or {}, "headers": dict(headers), "json": body}
            work = partial(self._request, service, method, path, sent)
            answer = await self._threads.run(work, 2 * (self._timeout_s + CONNECT_S))
        except TimeoutError:
            # Not its time-out but a dead end within the client: keystoneauth has one, where what stands before
            # Keystone answers 401 when it is asked for versions. Nothing of it is used again.
            self._connection = None
            self._breaker.answered(False)
            detail = f"cloud {self.cloud}: the call never came back"
            raise CloudError(Failure.UNREACHABLE, detail) from None
        except CloudError as error:
            self._breaker.answered(error.failure is not Failure.UNREACHABLE)
            raise
        self._breaker.answered(True)
        return answer

    async def close(self) -> None:
        """Let the threads go, once they are through with what they do, and the connections with them."""
        connection, self._connection = self._connection, None
        self._threads.let_go()
        if connection is not None:
            connection.session.session.close()

    # What follows runs in the threads.

    def _request(self, service: str, method: str, path: str, sent: Mapping[str, Any]) -> Answer:
        try:
            proxy = getattr(self._connected(), service)
            response = proxy.request(
                path,
                method,
                **sent,
                timeout=(CONNECT_S, self._timeout_s),
                connect_retries=0,
                status_code_retries=0,
                skip_cache=True,
            )
        except CloudError:
            raise
        except Exception as error:  # openstacksdk, keystoneauth and their plug-ins share no root
            raise self._failed(error) from error
        if response.status_code >= 400:
            raise self._refused(method, path, response)
        return Answer(response.status_code, _json(response))

    def _connected(self) -> Connection:
        with self._connecting:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection

    def _connect(self) -> Connection:
        config, where = _configuration(self.cloud, self._clouds_yaml)
        self._secrets = tuple(_secrets(config.cloud_config["clouds"][self.cloud]))
        try:
            region = config.get_one(cloud=self.cloud, api_timeout=self._timeout_s)
        except Exception as error:  # as broad as what may be written there
            detail = f"cloud {self.cloud} of {where} cannot be used: {self._safe(error)}"
            raise CloudError(Failure.REJECTED, detail) from error
        return Connection(config=region)

    def _failed(self, error: Exception) -> CloudError:
        """What an exception means that is not an answer of the service asked."""
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, keystone.ConnectionError):
                return CloudError(Failure.UNREACHABLE, self._unreachable(cause, causes))
            if isinstance(cause, keystone.HttpError) and cause.http_status:
                detail = f"cloud {self.cloud}: {self._safe(cause)}"
                after = cause.response.headers if isinstance(cause.response, requests.Response) else {}
                return CloudError(_meaning(cause.http_status), detail, _retry_after(after))
        detail = f"cloud {self.cloud}: {type(error).__name__}: {self._safe(error)}"
        wrong = isinstance(error, _CONFIGURED_WRONGLY)
        return CloudError(Failure.REJECTED if wrong else Failure.UNREACHABLE, detail)

    def _unreachable(self, error: keystone.ConnectionError, causes: list[BaseException]) -> str:
        if isinstance(error, keystone.ConnectTimeout):
            reason = f"no answer within {self._timeout_s:.0f} s"
        else:
            said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
            reason = said[-1] if said else type(error).__name__
        asked = re.search(r"https?://(?:[^/@\s]*@)?([^/\s]+)", str(error))
        return f"cloud {self.cloud} cannot be reached at {asked[1] if asked else 'its endpoint'}: {reason}"

    def _refused(self, method: str, path: str, response: requests.Response) -> CloudError:
        body = _json(response)
        told = body.get("error") if isinstance(body, dict) else None
        kind = str(told.get("type") or "") if isinstance(told, dict) else ""
        message = str(told.get("message") or "") if isinstance(told, dict) else ""
        detail = f"cloud {self.cloud}: {method} {path}: {response.status_code} {kind or response.reason}"
        return CloudError(
            _meaning(response.status_code),
            self._safe(f"{detail}: {message}" if message else detail),
            _retry_after(response.headers),
            kind,
        )

    def _safe(self, what: object) -> str:
        """For logs and journals: in one line, not endless, and none of this cloud's secrets in it."""
        text = " ".join(str(what).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text if len(text) <= LONGEST_DETAIL else text[:LONGEST_DETAIL] + "…"


def objection(cloud: str, clouds_yaml: Path | None) -> str | None:
    """Why this cloud cannot be logged in to, as far as clouds.yaml tells; calls nothing."""
    try:
        _configuration(cloud, clouds_yaml)
    except CloudError as error:
        return error.detail
    return None


def _configuration(cloud: str, path: Path | None) -> tuple[OpenStackConfig, str]:
    """The configuration that has the cloud, and what to call it. Raises CloudError (REJECTED) where none has."""
    where = str(path or "clouds.yaml")
    if path is not None and not path.is_file():
        raise CloudError(Failure.REJECTED, f"{path} is not there; expected a clouds.yaml")
    try:
        config = (
            OpenStackConfig([where], secure_files=[str(path.with_name("secure.yaml"))], load_envvars=False)
            if path
            else OpenStackConfig()
        )
    except Exception as error:  # as broad as what may be written there; its text may hold what is secret
        raise CloudError(Failure.REJECTED, f"{where} cannot be read: {type(error).__name__}") from error
    names = sorted(set(config.get_cloud_names()) - {"defaults"})
    if cloud not in names:
        there = ", ".join(names) or "none"
        raise CloudError(Failure.REJECTED, f"{where} has no cloud named {cloud!r}; there are: {there}")
    return config, where


def _meaning(status: int) -> Failure:
    known = {401: Failure.FORBIDDEN, 403: Failure.FORBIDDEN, 404: Failure.GONE, 409: Failure.BUSY}
    if status in known:
        return known[status]
    return Failure.UNREACHABLE if status in {408, 429} or status >= 500 else Failure.REJECTED


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """In seconds is how OpenStack's services say it, where they do."""
    said = headers.get("Retry-After", "")
    return timedelta(seconds=int(said)) if said.isascii() and said.isdigit() else None


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except json.JSONDecodeError:
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _secrets(configured: Any) -> Iterator[str]:
    """Values under keys that sound secret; too short a one would blacken half of any text."""
    if isinstance(configured, Mapping):
        for key, value in configured.items():
            if isinstance(value, str) and _SECRET.search(str(key)) and len(value) >= 4:
                yield value
            yield from _secrets(value)
