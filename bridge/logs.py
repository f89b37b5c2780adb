"""Logging: the standard library, a constant event name plus fields, as text or as JSON lines.

Never texts, tokens or `challenge`.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

_bound: contextvars.ContextVar[Mapping[str, object]] = contextvars.ContextVar("bridge_log")

# What every LogRecord has; all else in its __dict__ came in as a field.
_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


@contextlib.contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add `fields` to every log line within."""
    token = _bound.set({**_bound.get({}), **{k: v for k, v in fields.items() if v is not None}})
    try:
        yield
    finally:
        _bound.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a record: the bound ones and its own."""
    own = {key: value for key, value in record.__dict__.items() if key not in _PLAIN}
    return {**_bound.get({}), **own}


class TextFormatter(logging.Formatter):
    """`12:00:00 INFO bridge.worker job.attempted kind=… ms=…`"""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, plus a traceback if there is one."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        pairs = " ".join(f"{key}={value}" for key, value in fields_of(record).items() if value != "")
        line = f"{at} {record.levelname:<7} {record.name} {record.getMessage()} {pairs}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `at`, `level`, `logger`, `event`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def set_up(level: str, style: str) -> None:
    """Log to stderr; `style` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Debug output of these holds message bodies, tokens and URLs with secrets.
    for noisy in ("slack_sdk", "slack_bolt", "aiohttp.access", "asyncio", "apscheduler"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
