"""What both listeners read and answer: bodies with bounds, JSON, and refusals that a person can read."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

import msgspec
import structlog
from aiohttp import web

from healer.ports import StoreError

log = structlog.get_logger(__name__)

BODY_WITHIN = 10.0
"""Seconds that a body may take to arrive, once its head is there."""

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()


class RefusedError(Exception):
    """The request is refused: a status, one snake_case word for a machine, and a sentence for a person."""

    def __init__(self, status: int, reason: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"reason": reason, "message": message, **more}


def answer(body: Any, status: int = 200) -> web.Response:
    try:
        text = _ENCODER.encode(body)
    except UnicodeEncodeError:  # half of a surrogate pair, out of some cloud: JSON can spell it, UTF-8 cannot
        text = json.dumps(msgspec.to_builtins(body)).encode()
    return web.Response(body=text + b"\n", status=status, content_type="application/json")


async def read_body(request: web.Request) -> bytes:
    """All of it, as it was sent. Raises RefusedError where it is packed, too large, or too slow."""
    packed = request.headers.get("Content-Encoding", "identity").lower()
    if packed != "identity":
        # Refused unopened: 200 kB can unfold to 200 MiB, and hold the loop for a second.
        raise RefusedError(415, "packed", "the body must be sent as it is, without Content-Encoding")
    too_large = RefusedError(413, "too_large", f"at most {request.client_max_size} bytes are taken")
    if (request.content_length or 0) > request.client_max_size:
        raise too_large
    try:
        if request.content.is_eof():  # it came with its head, as most do: there is nothing to wait for
            return await request.read()
        async with asyncio.timeout(BODY_WITHIN):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except TimeoutError:
        # Not 408: Alertmanager gives an alarm up on any 4xx, and it may be the network that was slow.
        raise RefusedError(503, "too_slow", f"the body took longer than {BODY_WITHIN:.0f} s") from None


def decoded(body: bytes, kind: type[T]) -> T:
    """The body as this type, which says how strict it is. Raises RefusedError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RefusedError(400, "bad_body", str(error)) from error


@web.middleware
async def plain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Every refusal in one form, ours and aiohttp's own; and whatever goes wrong here is logged, not told."""
    try:
        response: web.StreamResponse = await handler(request)
    except RefusedError as refused:
        return answer({"error": refused.error}, refused.status)
    except web.HTTPException as error:
        refusal = _refusal(
            error.status, error.reason.lower().replace(" ", "_"), error.reason, **_allowed(error)
        )
        if "Allow" in error.headers:
            refusal.headers["Allow"] = error.headers["Allow"]
        return refusal
    except web.RequestPayloadError as error:
        return _refusal(400, "bad_request", f"the body is not what its head says: {error}")
    except StoreError as error:
        return _refusal(503, "not_stored", str(error))
    except ConnectionError:  # whoever asked is gone, and nobody reads this
        return _refusal(400, "cut_off", "the request ended before its body did")
    except Exception:
        # The route and not the path: there may be a secret in what a sender put there.
        route = request.match_info.route.resource
        log.exception("request.broke", method=request.method, route=route.canonical if route else None)
        return _refusal(500, "broken", "healer made a mistake; its log tells more")
    return response


def _refusal(status: int, reason: str, message: str, **more: Any) -> web.Response:
    return answer({"error": {"reason": reason, "message": message, **more}}, status)


def _allowed(error: web.HTTPException) -> dict[str, Any]:
    allowed = error.headers.get("Allow")
    return {"allowed": allowed.split(",")} if allowed else {}
