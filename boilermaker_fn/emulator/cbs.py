"""Who may connect? Everybody: a token is taken whatever it says, unless the emulator was told to refuse tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .exchange import Answer, Request
from .refusals import NOT_IMPLEMENTED, UNAUTHORIZED, Refused

if TYPE_CHECKING:
    from .host import Host

_OPERATION: Final = "put-token"


def put_token(host: Host, request: Request) -> Answer:
    """Answer a claim. Raises Refused."""
    if request.operation != _OPERATION:
        raise Refused(NOT_IMPLEMENTED, f"{request.operation!r} is unknown here: tokens are put with {_OPERATION!r}")
    if host.faults.refuse_tokens:
        name = request.properties.get("name")
        raise Refused(UNAUTHORIZED, f"Unauthorized access. 'Send,Listen' claim(s) are required on {name!r}.")
    return Answer(202)
