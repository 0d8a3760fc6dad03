"""What both listeners answer with: JSON, and errors that a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

_ENCODER = msgspec.json.Encoder()


def answer(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=_ENCODER.encode(body) + b"\n", status=status, content_type="application/json")


def refusal(status: int, reason: str, message: str, **more: Any) -> web.Response:
    """`reason` is one snake_case word for a machine, `message` a sentence for a person."""
    return answer({"error": {"reason": reason, "message": message, **more}}, status)


@web.middleware
async def plain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Put aiohttp's own refusals (404, 405, 413) into the same form as ours."""
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        reason = error.reason.lower().replace(" ", "_")
        return refusal(error.status, reason, error.reason, **_allowed(error))
    return response


def _allowed(error: web.HTTPException) -> Mapping[str, Any]:
    allowed = error.headers.get("Allow")
    return {"allowed": allowed.split(",")} if allowed else {}
