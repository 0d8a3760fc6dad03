"""The words a person types: each is one function that returns the exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Protocol

from healer import __version__
from healer.client import Client, NoDaemonError, RefusedError
from healer.durations import parse
from healer.ports import HealerError

OK, FAILED, USAGE = 0, 1, 2

INCIDENT = "its id, a unique beginning of it, or STACK/RESOURCE for the latest there"

DEFAULT_CONFIG = "/etc/healer/config.yaml"
DEFAULT_SOCKET = "/run/healer/api.sock"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done. 1: it was tried and did not work, or there is no daemon. 2: what was asked for makes no sense."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser, words = _parser()
    if not typed:
        parser.print_help(sys.stderr)
        return USAGE
    if not typed[0].startswith("-") and typed[0] not in words:
        print(f"healer: there is no word {typed[0]!r}{_meant(typed[0], words)}", file=sys.stderr)
        return USAGE
    options = parser.parse_args(typed)
    try:
        done = int(options.word(options))
        sys.stdout.flush()  # Where nobody reads any more, it shows here, and not when Python ends.
    except RefusedError as error:
        print(f"healer: {error}", file=sys.stderr)
        return USAGE if error.status in {400, 404, 409} else FAILED
    except NoDaemonError as error:
        print(f"healer: {error}", file=sys.stderr)
        return FAILED
    except HealerError as error:
        print(f"healer: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return 130
    return done


def _meant(typed: str, words: Collection[str]) -> str:
    close = get_close_matches(typed, words, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(words)}"


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """And the words that it knows."""
    parser = argparse.ArgumentParser(
        prog="healer",
        description="Notices what died in an orchestrated stack, has it replaced, and makes sure that it was.",
        epilog="`healer WORD --help` says more of a word. 0: done; 1: tried, and it did not work, or no daemon "
        "answers; 2: what was asked for makes no sense.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=15),
    )
    parser.add_argument("--version", action="version", version=f"healer {__version__}")
    words = parser.add_subparsers(title="words", required=True, metavar="WORD")

    run = _word(words, "run", "daemon:run", "run the daemon, as systemd starts it")
    _configured(run)

    demo = _word(words, "demo", "demo:demo", "break a small stack of real processes, and watch it heal")
    demo.add_argument(
        "--break",
        dest="fault",
        choices=("kill", "hang", "sick"),
        default="kill",
        help="kill: SIGKILL db (the default); hang: SIGSTOP db; sick: web answers 500",
    )
    demo.add_argument(
        "--keep", action="store_true", help="go on afterwards, to break things yourself and watch"
    )
    demo.add_argument(
        "--observe", action="store_true", help="under `mode: observe`: see what would be done, and 1 for it"
    )

    check = _word(words, "check", "local:check", "read config and policies; every mistake at once")
    _configured(check)
    _as_json(check)

    _asking(words, "status", "ask:status", "how the daemon is")
    _asking(words, "stacks", "ask:stacks", "the stacks, and what stands in them")
    incidents = _asking(words, "incidents", "ask:incidents", "what fails, and what is done about it")
    incidents.add_argument("--all", action="store_true", help="closed ones too")
    show = _asking(words, "show", "show:show", "the whole story of one incident")
    show.add_argument("incident", metavar="INCIDENT", help=INCIDENT)
    _about_alarms(_asking(words, "alarms", "ask:alarms", "the alarms that came, and what became of them"))

    heal = _asking(words, "heal", "ask:heal", "heal one resource now")
    heal.add_argument("stack", metavar="STACK", help="the name or id of a root stack")
    heal.add_argument(
        "resource", metavar="RESOURCE", help="its path, such as group/0/server, or its unique name"
    )
    heal.add_argument("--why", default="no reason given", help="kept with its story")
    heal.add_argument("--cloud", help="where more than one has a stack of that name")

    pause = _asking(words, "pause", "ask:pause", "touch nothing until resumed")
    pause.add_argument(
        "scope", metavar="SCOPE", nargs="?", default="all", help="all, cloud:NAME, stack:NAME or policy:NAME"
    )
    pause.add_argument("--why", required=True, help="shown with everything that it holds")
    pause.add_argument(
        "--for", dest="until", type=_duration, metavar="TIME", help="such as 30m; else until resumed"
    )
    resume = _asking(words, "resume", "ask:resume", "take a pause back")
    resume.add_argument("scope", metavar="SCOPE", nargs="?", default="all", help="its scope, or its id")
    release = _asking(words, "release", "ask:release", "let go of one incident")
    release.add_argument("incident", metavar="INCIDENT", help=INCIDENT)

    summary = "take back every mark that healer set, with the daemon dead"
    release_all = _word(words, "release-all", "local:release_all", summary)
    _configured(release_all)
    _as_json(release_all)
    return parser, words.choices


def _about_alarms(alarms: argparse.ArgumentParser) -> None:
    """Without a word of its own it lists."""
    alarms.add_argument(
        "--source",
        dest="sources",
        action="append",
        metavar="NAME",
        help="of this sender only; may be repeated",
    )
    alarms.add_argument(
        "--outcome",
        dest="outcomes",
        action="append",
        metavar="WORD",
        help="that became this: matched, unmatched, ambiguous, stale, unowned, no_evidence or pending; may be repeated",
    )
    alarms.add_argument(
        "--since", type=_duration, metavar="TIME", help="that came within this time, such as 2h"
    )
    alarms.add_argument("--limit", type=int, metavar="N", help="the newest so many; default: 100")
    words = alarms.add_subparsers(title="about alarms to come", metavar="WORD")
    sent = _word(words, "send", "alarms:send", "post a body to the running daemon, as its sender would")
    sent.add_argument(
        "--port", type=int, metavar="PORT", help="where the daemon listens; default: the configuration's"
    )
    tried = _word(
        words, "test", "alarms:test", "say what a body would mean, without a daemon; nothing is done"
    )
    for word in (sent, tried):
        word.add_argument(
            "file", metavar="FILE", help="what the sender would post; - reads it from standard input"
        )
        word.add_argument("--source", metavar="NAME", help="which of the configured sources it is from")
        word.add_argument("--query", default="", metavar="TEXT", help="what stands behind the ? of the URL")
        word.add_argument(
            "--header",
            action="append",
            default=[],
            metavar="'NAME: VALUE'",
            help="one more header; may be repeated",
        )
        _configured(word)
        _as_json(word)
    _about_signing(_word(words, "sign", "alarms:sign", "print the signed URL that a sender is to post to"))


def _about_signing(word: argparse.ArgumentParser) -> None:
    word.add_argument("--source", metavar="NAME", help="which of the configured sources is to take it")
    for name, said in {
        "stack": "the name or id of a root stack",
        "resource": "its path in the stack, or its unique name",
        "cloud": "where more than one has such a stack",
        "physical-id": "of one incarnation: the URL means nothing any more once it is replaced",
        "address": "IP address, host:port or host name of a resource",
        "host": "a compute host: all that runs there",
    }.items():
        word.add_argument(f"--{name}", metavar="TEXT", help=said)
    word.add_argument(
        "--url", metavar="URL", help="where the sender reaches healer; default: where it listens"
    )
    word.add_argument(
        "--for", dest="until", type=_duration, metavar="TIME", help="such as 90d; else it is good for ever"
    )
    _configured(word)
    _as_json(word)


class _Words(Protocol):
    """What argparse gives for `add_subparsers`, whose own type is private."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser: ...  # noqa: A002


def _word(words: _Words, name: str, where: str, summary: str) -> argparse.ArgumentParser:
    parser = words.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(word=_later(where))
    return parser


def _asking(words: _Words, name: str, where: str, summary: str) -> argparse.ArgumentParser:
    """A word that asks the running daemon."""
    parser = _word(words, name, where, summary)
    ask = _later(where)
    parser.set_defaults(word=lambda options: ask(Client(options.socket), options))
    socket = os.environ.get("HEALER_SOCKET", DEFAULT_SOCKET)
    parser.add_argument(
        "--socket",
        type=Path,
        default=Path(socket),
        metavar="PATH",
        help=f"of the daemon's API; default: HEALER_SOCKET, or {DEFAULT_SOCKET}",
    )
    _as_json(parser)
    return parser


def _configured(parser: argparse.ArgumentParser) -> None:
    default = Path(DEFAULT_CONFIG)
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help=f"default: {default}")


def _as_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _later(where: str) -> Callable[..., int]:
    """The function `module:name` of this package, imported once it is called: most words need little of healer."""
    module, _, name = where.partition(":")

    def word(*arguments: object) -> int:
        return int(getattr(import_module(f"{__name__}.{module}"), name)(*arguments))

    return word


def _duration(text: str) -> timedelta:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
