"""How is a log record written as a line of JSON? The same fields, whether it comes from structlog or from `logging`."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any, Final

from .bound import bound

_NO_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One line of JSON for each record, with what is bound and the `extra` of the record as fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; what has no form there is written by its `str`."""
        # A record of structlog's has gone through its processors and is a dict of fields by now.
        fields = record.msg if hasattr(record, "_logger") else self._fields(record)
        return json.dumps(fields, default=str)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {
            "event": record.getMessage(),
            **bound(),
            "logger": record.name,
            "level": record.levelname.lower(),
            **{name: value for name, value in vars(record).items() if name not in _NO_FIELDS},
            "timestamp": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat()[:26] + "Z",
        }
        if record.stack_info:
            fields["stack"] = record.stack_info
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return fields
