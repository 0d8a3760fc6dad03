"""The settings of the daemon as config.yaml has them; what belongs to a plug-in is left to the plug-in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict, StringConstraints
from yarl import URL

from healer.config.keys import Section
from healer.durations import PositiveDuration

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def _named(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value[:64]!r} is no name; expected letters, digits, '.', '_' and '-', 63 at most")
    return value


def _user(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int) or value in {"", -1}:
        raise ValueError("expected a user's name or number")
    return value


def _url(value: str) -> str:
    try:
        url = URL(value)
    except ValueError as error:
        raise ValueError(f"is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("is no URL of a web server; expected something like https://cloud.example.org:8888")
    return value


Name = Annotated[str, AfterValidator(_named)]
User = Annotated[Any, AfterValidator(_user)]
Port = Annotated[int, Strict(), Field(ge=0, le=65535)]
BodyLimit = Annotated[int, Strict(), Field(ge=4 << 10, le=4 << 20)]
"""Bytes. One alarm of a wordy sender needs 4 KiB. As many bodies may lie in memory as connections are open, 500; and
4 MiB are read for tens of milliseconds, in which nothing else is done."""
Url = Annotated[str, AfterValidator(_url)]
Text = Annotated[str, StringConstraints(min_length=1)]


class StateSection(Section):
    directory: Path = Path("/var/lib/healer")
    """Where the state file, the lock, the stop file `STOP` and the embedded engine's books lie. Under systemd it is
    what `StateDirectory=healer` makes."""


class CloudSection(Section):
    """All other keys are the options of the engine's plug-in."""

    model_config = ConfigDict(extra="allow")

    engine: Text
    """Which engine holds the stacks: a file of `healer/engines`."""
    refresh: PositiveDuration = timedelta(seconds=30)
    """How often every stack of this cloud is read. A reading costs the engine one request for each nested stack, so
    that a large cloud wants minutes, and one machine can bear a second."""


class ListenSection(Section):
    address: Text = "127.0.0.1"
    """Where alarms are taken, and `/metrics`, `/livez` and `/readyz` served. Any other address than this machine's
    own needs `auth` for each alarm source."""
    port: Port = 9595
    """TCP port; 0 takes any that is free."""
    body_limit: BodyLimit = 256 << 10
    """Bytes that a request may bring, from 4096 to 4194304. A notification of 200 alarms has about 180 KB; more is an
    attack, or a group that should be split."""

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can connect. A name that is not localhost counts as if others could."""
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"


class ApiSection(Section):
    socket: Path = Path("/run/healer/api.sock")
    """The unix socket of the API. Under systemd its directory is what `RuntimeDirectory=healer` makes."""
    operators: tuple[User, ...] = ()
    """Users, by name or number, who may heal, pause and resume, besides root and the daemon's own user."""
    readers: tuple[User, ...] = ()
    """Users, by name or number, who may look."""


class AlarmSection(Section):
    """All other keys are the options of the alarm source's plug-in."""

    model_config = ConfigDict(extra="allow")

    source: Text | None = None
    """What it sends: a file of `healer/alarms`. Without it, what the name says."""
    auth: Mapping[Text, Mapping[str, Any]] = Field(default_factory=dict)
    """How the sender shows who it is: files of `healer/authentication`, each with its options; any one is enough.
    Without any, everybody on this machine may send."""
    open: bool = False
    """Whether everybody who can connect may send, also from other machines, where `auth` names no way."""
    watchdog: str = "Watchdog"
    """The `alertname` of an alert that always fires. It is no alarm: when it came last is a metric, and an alarm path
    that has gone deaf is known by it; where this is written down, also one that was deaf from the start. Empty: there
    is none."""
    only: Mapping[Text, Text] = Field(default_factory=dict)
    """Labels and their values: an alarm that does not carry all of them is passed over. It is counted, and nothing
    else; the request is answered as if it had been taken. Empty: every alarm is taken."""
    confirm_at: Url | None = None
    """URL of a sender that asks to be confirmed before it sends (Zaqar): only there is it called back."""
    pull: Mapping[Text, Mapping[str, Any]] = Field(default_factory=dict)
    """Where alarms are read as well, at the start and from time to time: files of `healer/pulls`, each with its
    options."""


class NotifierSection(Section):
    """All other keys are the options of the notifier's plug-in."""

    model_config = ConfigDict(extra="allow")

    notifier: Text
    """What tells: a file of `healer/notifiers`."""


class JournalSection(Section):
    keep: PositiveDuration = timedelta(days=90)
    """How long the story of closed incidents is kept. Ninety days outlast a quarter's review."""


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is JSON unless the output is a terminal."""


class Settings(Section):
    version: Literal[1]
    """Of this file's format."""
    installation: Name = "default"
    """Names this healer's marks in the engine (`healer:<installation>/<repair>`), so that two healers on one cloud
    never take each other's for their own."""
    state: StateSection = StateSection()
    """What is kept on this machine."""
    clouds: Annotated[Mapping[Name, CloudSection], Field(min_length=1)]
    """By a name of your own, which policies use."""
    policies: tuple[Text, ...] = ()
    """Files or globs; a path is relative to this file."""
    listen: ListenSection = ListenSection()
    """For alarms and monitoring; the API has its own, below."""
    api: ApiSection = ApiSection()
    """For the words of the command line; access is by who one is on this machine."""
    alarms: Mapping[Name, AlarmSection] = Field(default_factory=dict)
    """Each is served at `/v1/alarms/<name>`; what is not named here is not served."""
    notifiers: Mapping[Name, NotifierSection] = Field(default_factory=dict)
    """By a name of your own, which the remediation `notify` uses."""
    journal: JournalSection = JournalSection()
    """The story of every incident."""
    log: LogSection = LogSection()
    """On standard output."""
