"""Command ``migrate``: move off another service."""

import typer

from .migration.dump_command import dump
from .migration.shadow_command import shadow

__all__ = ["migrate_app"]

migrate_app = typer.Typer(help="Move off another service.", no_args_is_help=True)
migrate_app.command()(dump)
migrate_app.command()(shadow)
