"""Versions of the database of jobs, kept by Alembic."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

__all__ = ["upgrade"]

_HERE: Final = Path(__file__).parent


def upgrade(engine: sa.Engine) -> None:
    """Bring the tables of a database, which may be empty, to the version of this code."""
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
