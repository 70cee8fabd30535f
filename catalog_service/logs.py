"""Lines of the log: one JSON object each, or plain text to read oneself, whichever library writes them."""

import logging
import sys
from typing import Any, Final, Literal

import structlog

__all__ = ["LogFormat", "configure_logging"]

LogFormat = Literal["json", "plain"]

_SHARED: Final[tuple[Any, ...]] = (
    structlog.contextvars.merge_contextvars,  # such as the id of the query
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
)


def configure_logging(log_format: LogFormat = "json") -> None:
    """Have everything that this process logs written to standard output in one form."""
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=False)]
    )
    structlog.configure(
        processors=[*_SHARED, *renderers],
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each start
    logging.captureWarnings(capture=True)
