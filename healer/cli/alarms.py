"""The words about alarms to come: send one out of a file, say what it would mean, sign the address to post it to."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote

from yarl import URL

from healer.alarms._loose import SCOPE
from healer.authentication.bearer import Bearer
from healer.authentication.signed_url import SignedUrl
from healer.clock import BootClock
from healer.config.check import check as check_config
from healer.config.load import AlarmReceiver, Config
from healer.core.inventory import Ambiguous, By, Found, Stale, Unmatched
from healer.core.model import Alarm
from healer.core.policy import Contested, Owned
from healer.documents import did_you_mean
from healer.paper import say
from healer.ports import ALARMS_PATH, ConfigError, Delivery, StoreError
from healer.rehearsal import Meant, rehearse

TIMEOUT_S = 30

_SCHEMES = ("http", "https", "trust+http", "trust+https")
"""The last two are Aodh's own words for: with a token."""

_KNOWN_BY = {
    By.PHYSICAL_ID: "by its physical id",
    By.NAME: "by stack and name",
    By.ADDRESS: "by its address",
    By.HOST: "by its host",
}


def test(options: argparse.Namespace) -> int:
    """0: every alarm in it means something that a policy owns. 1: not every one. 2: it cannot be read."""
    config = _config(options.config)
    if config is None:
        return 2
    name, receiver = _receiver(config, options.source)
    delivery = Delivery(
        source=name,
        body=_body(options.file),
        received_at=BootClock().now(),
        headers=_headers(options.header),
        query=dict(parse_qsl(options.query)),
        path=ALARMS_PATH + name,
    )
    try:
        found = rehearse(config, receiver, delivery)
    except StoreError as error:
        raise ConfigError(
            f"{error}; ask it instead: healer alarms send --source {name} {options.file}"
        ) from error
    lines = [_line(one) for one in found.meant]
    passed_over = [(one, _passed_over(one, receiver.only)) for one in found.batch.passed_over]
    fits = all(one[-1] for one in lines) and not (found.batch.rejected or passed_over)
    if options.json:
        told = [_as_json(one) for one in found.meant]
        told += [_described(one, says, fits=False) for one, says in passed_over]
        print(json.dumps(told, indent=2))
        return 0 if fits else 1
    for text, _ in lines:
        say(text)
    for rejected in found.batch.rejected:
        say(f"Number {rejected.index} cannot be read: {rejected.reason}.")
    for cloud, why in found.unreachable.items():
        say(f"Cloud {cloud} cannot be read, and its stacks count as if they were not there: {why}.")
    for _, text in passed_over:
        say(text)
    if found.signs:
        say(f"{receiver.watchdog}: a sign of life, and no alarm.")
    if found.batch.confirmation is not None:
        say("It asks to be confirmed: the daemon would call its sender back.")
    elif not (lines or found.signs or found.batch.rejected or passed_over):
        say("There is no alarm in it.")
    return 0 if fits else 1


def send(options: argparse.Namespace) -> int:
    """0: it was taken. 1: it was refused, or nobody listens."""
    config = _config(options.config)
    if config is None:
        return 2
    name, receiver = _receiver(config, options.source)
    listen = config.settings.listen
    headers = {"Content-Type": "application/json", **_shown(receiver), **_headers(options.header)}
    path = _signed(receiver, ALARMS_PATH + quote(name) + (f"?{options.query}" if options.query else ""))
    connection = http.client.HTTPConnection(listen.address, options.port or listen.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", path, _body(options.file), headers)
        response = connection.getresponse()
        status, text = response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(
            f"healer: nobody takes alarms at {listen.address}, port {connection.port}: {error}",
            file=sys.stderr,
        )
        return 1
    finally:
        connection.close()
    if options.json:
        print(text.strip())
        return 0 if status // 100 == 2 else 1
    say(f"Answered {status}: {text.strip() or 'nothing more'}")
    if status // 100 == 2:
        say("What became of it: healer alarms")
    return 0 if status // 100 == 2 else 1


def sign(options: argparse.Namespace) -> int:
    """0, and the URL for the sender. 2: the source takes none, or it would name no resource."""
    config = _config(options.config)
    if config is None:
        return 2
    name, receiver = _receiver(config, options.source)
    way = receiver.authentication.get("signed_url")
    if not isinstance(way, SignedUrl):
        takes = ", ".join(receiver.authentication) or "alarms from everybody"
        raise ConfigError(
            f"the source {name} takes no signed URL but {takes}; signed_url under auth is the way"
        )
    scope = {one: value for one in SCOPE if (value := getattr(options, one))}
    if "resource" in scope and "stack" not in scope:
        raise ConfigError("--resource needs --stack: a name is one only within its stack")
    url = _base(options.url, config).with_path(ALARMS_PATH + name).with_query(scope)
    expires_at = BootClock().now() + options.until if options.until else None
    signed = way.sign(str(url), expires_at)
    if options.json:
        print(json.dumps({"url": signed, "expires_at": expires_at and expires_at.isoformat()}))
    else:
        print(signed)
    return 0


def _base(typed: str | None, config: Config) -> URL:
    """Where the sender reaches healer; a path before healer's own would be signed, and not be there any more."""
    listen = config.settings.listen
    if typed is None:
        return URL.build(scheme="http", host=listen.address, port=listen.port)
    try:
        url = URL(typed)
    except ValueError as error:
        raise ConfigError(f"--url {typed!r} is no URL: {error}") from error
    if url.scheme not in _SCHEMES or not url.host or url != url.origin():
        raise ConfigError(
            f"--url {typed!r}: expected http://HOST:PORT or https://HOST:PORT and nothing behind"
        )
    return url


def _config(path: Path) -> Config | None:
    report = check_config(path)
    if report.config is None:
        for line in report.lines():
            print(line, file=sys.stderr)
    return report.config


def _receiver(config: Config, wanted: str | None) -> tuple[str, AlarmReceiver]:
    """The only one that is configured need not be named."""
    names = list(config.alarms)
    if wanted is None and len(names) == 1:
        wanted = names[0]
    if wanted is None:
        raise ConfigError(
            f"--source says which sender it is from; configured are: {', '.join(names) or 'none'}"
        )
    if wanted not in config.alarms:
        raise ConfigError(
            f"there is no alarm source {wanted!r} in {config.file}; {did_you_mean(wanted, names)}"
        )
    return wanted, config.alarms[wanted]


def _body(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error


def _headers(given: list[str]) -> Mapping[str, str]:
    """As they are typed, `Name: value`; the letter case of a name does not matter."""
    found = Message()
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise ConfigError(f"{one!r} is no header; expected `Name: value`")
        found[name.strip()] = value.strip()
    return cast("Mapping[str, str]", found)


def _shown(receiver: AlarmReceiver) -> Mapping[str, str]:
    """A token in a file can be shown as it is; whoever takes nothing but another way needs --header."""
    way = receiver.authentication.get("bearer")
    if not isinstance(way, Bearer):
        return {}
    file = way.token_files[0]
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    return {"Authorization": f"{way.scheme} {token}"}


def _signed(receiver: AlarmReceiver, path: str) -> str:
    """With a signature, where a sender shows nothing else."""
    way = receiver.authentication.get("signed_url")
    return way.sign(path) if isinstance(way, SignedUrl) else path


def _line(one: Meant) -> tuple[str, bool]:
    """A sentence, and whether the alarm means something that one policy owns."""
    alarm = one.alarm
    name = _named(alarm)
    match one.resolution:
        case Found(targets, by):
            owned = [f"{target} ({_owner(one.owners[target])})" for target in targets]
            fits = any(isinstance(standing, Owned) for standing in one.owners.values())
            return f"{name}: {', '.join(owned)}, {_KNOWN_BY[by]}.", fits
        case Ambiguous(candidates):
            return f"{name}: not clear, it may mean {', '.join(map(str, candidates))}.", False
        case Stale(target):
            return f"{name}: stale, it is about an earlier {target}.", False
        case Unmatched(why):
            return f"{name}: unmatched, {why}. It has the labels {_labels(alarm.labels)}.", False


def _named(alarm: Alarm) -> str:
    return f"{alarm.labels.get('alertname', alarm.key)}, {alarm.status}"


def _passed_over(alarm: Alarm, only: Mapping[str, str]) -> str:
    why = f"`only` asks for {_labels(only)}. It has the labels {_labels(alarm.labels)}"
    return f"{_named(alarm)}: passed over, for {why}."


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items())) or "none"


def _owner(standing: Owned | Contested | None) -> str:
    match standing:
        case Owned(policy):
            return f"policy {policy.name}"
        case Contested(names):
            return f"contested by {', '.join(names)}"
        case None:
            return "no policy owns it"


def _as_json(one: Meant) -> dict[str, Any]:
    sentence, fits = _line(one)
    found = one.resolution
    if not isinstance(found, Found):
        return _described(one.alarm, sentence, fits=fits)
    means = [str(target) for target in found.targets]
    return _described(one.alarm, sentence, fits=fits) | {"means": means, "by": found.by}


def _described(alarm: Alarm, sentence: str, *, fits: bool) -> dict[str, Any]:
    return {
        "key": alarm.key,
        "status": alarm.status,
        "started_at": alarm.started_at.isoformat(),
        "labels": dict(alarm.labels),
        "means": [],
        "by": None,
        "fits": fits,
        "says": sentence,
    }
