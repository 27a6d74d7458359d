"""Logs as JSON lines, with ids and reasons and never material: fields are redacted by name and by shape."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

REDACTED = "[redacted]"

_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|authorization|cookie|private|plaintext|seed|credential|dsn|^key$|material",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|\bBearer\s+[A-Za-z0-9._~+/=-]+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?<=/sign-in/)[A-Za-z0-9_-]{16,}",
    re.DOTALL | re.IGNORECASE,
)


def redact(value: object, name: str = "") -> object:
    """The value as it may stand in a log: nothing under a telling name, nothing that looks like a secret."""
    if name and _NAMES.search(name) and not isinstance(value, bool | int | float | type(None)):
        return REDACTED
    if isinstance(value, str):
        return _SHAPES.sub(REDACTED, value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, MutableMapping):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if isinstance(value, BaseException):
        return type(value).__name__
    return value


def _redact_all(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {name: redact(value, name) for name, value in event.items()}


def _where_only(_logger: object, _method: str, event: EventDict) -> EventDict:
    """An exception is logged by its type and the places it came through; its words may quote a provider or a secret."""
    raised = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()[1]
    elif isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        places, at = [], raised.__traceback__
        while at is not None:
            code = at.tb_frame.f_code
            places.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{at.tb_lineno} {code.co_name}")
            at = at.tb_next
        event["error"], event["at"] = type(raised).__name__, places[-12:]
    return event


def configure_logging(*, level: str = "INFO", process: str = "") -> None:
    """Everything that this process logs, ours and libraries', goes to stderr as redacted JSON lines."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _where_only,
        _redact_all,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx2 logs every address it asks at INFO; one-time links would be among them.
    for chatty in ("httpx2", "httpcore2", "arq.worker", "arq.jobs", "asyncio", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()
    if process:
        structlog.contextvars.bind_contextvars(process=process)


def get_logger(name: str = "") -> FilteringBoundLogger:
    """A logger: ``log.info("room.what_happened", tenant=..., reason=...)``."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))
