"""What did the service say? Which answers are about the rows, and which say that it cannot answer now."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError


class Answer(enum.Enum):
    """What an error means for us."""

    NoTable = enum.auto()
    NoRow = enum.auto()
    Changed = enum.auto()  # the row exists already, or has another ETag
    TooMuch = enum.auto()  # a limit that was not checked before
    Denied = enum.auto()
    NotSent = enum.auto()  # nothing was done: no connection, or refused at the door
    Unknown = enum.auto()  # it may have been done
    Useless = enum.auto()  # trying again changes nothing


_CODES: Final = {
    "TableNotFound": Answer.NoTable,
    "ResourceNotFound": Answer.NoRow,
    "EntityNotFound": Answer.NoRow,
    "EntityAlreadyExists": Answer.Changed,
    "UpdateConditionNotSatisfied": Answer.Changed,
    "ConditionNotMet": Answer.Changed,
    "TableBeingDeleted": Answer.NotSent,
}
_STATUSES: Final = {
    400: Answer.TooMuch,
    401: Answer.Denied,
    403: Answer.Denied,
    408: Answer.Unknown,
    412: Answer.Changed,
    413: Answer.TooMuch,
    429: Answer.NotSent,
}


def answer(error: AzureError | TimeoutError) -> Answer:
    """What an error of the SDK means. Raises nothing."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    if not isinstance(error, AzureError):
        return Answer.Unknown
    if isinstance(error, ClientAuthenticationError):  # the service's, or of the identity itself
        return Answer.Denied
    if isinstance(error, HttpResponseError) and error.response is not None:
        status = error.status_code or 0
        if status >= 500 or status < 300:  # less: the answer broke off
            return Answer.Unknown
        return _CODES.get(code_of(error)) or _STATUSES.get(status, Answer.Useless)
    return Answer.Unknown if _may_have_arrived(error) else Answer.NotSent


def code_of(error: AzureError | TimeoutError) -> str:
    """The service's word for what is wrong; "" if it said none."""
    if code := getattr(error, "error_code", None):
        return str(getattr(code, "value", code))
    # The SDK reads it for all calls but insertion.
    response: Any = getattr(error, "response", None)
    if response is None:
        return ""
    try:
        return str(json.loads(response.text())["odata.error"]["code"])
    except (ValueError, LookupError, TypeError):
        return str(response.headers.get("x-ms-error-code", ""))


def described(error: AzureError | TimeoutError) -> str:
    """The error in one line."""
    text = str(error).strip().splitlines() or ["no answer in time"]
    code = code_of(error)
    return f"{text[0]} [{code}]" if code and code not in text[0] else text[0]


def remedy(error: AzureError | TimeoutError) -> str:
    """What to do about an error that stayed until the deadline."""
    from aiohttp import ClientConnectorDNSError

    said = answer(error)
    if said is Answer.Denied and getattr(error, "response", None) is None:
        return (
            "there is no identity to ask with: sign in (az login), or where this runs in Azure give it a managed "
            "identity (with AZURE_CLIENT_ID if it is a user-assigned one)"
        )
    if said is Answer.Denied:
        return (
            "give the identity this runs as the role 'Storage Table Data Contributor' on the storage account (it takes "
            "some minutes to count), let the account's firewall know this network, and check the clock; or give the "
            "right connection string"
        )
    if isinstance(getattr(error, "inner_exception", None), ClientConnectorDNSError):
        return (
            "the host name does not resolve: check the name of the account (TABLE_STORAGE_URL, or "
            "AzureWebJobsStorage__accountName), and the DNS zone where it has a private endpoint"
        )
    if said is Answer.Useless:
        return "check that the endpoint is that of a table service"
    return "try again later; if it stays so, look at the account's availability and throttling in its metrics"


def _may_have_arrived(error: AzureError) -> bool:
    # The SDK's ServiceRequestError ("was not sent") also stands for connections that were lost while it waited for
    # the answer; only the error under it tells them apart.
    from aiohttp import ClientConnectorError, ConnectionTimeoutError

    return not isinstance(error.inner_exception, ClientConnectorError | ConnectionTimeoutError)
