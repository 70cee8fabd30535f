"""All that keeps a table from being built, as far as its input files and their columns show; not only the first."""

from pathlib import Path

from .config import BuildConfig, TableConfig
from .exceptions import DamagedInputError, InputError, PartitioningError
from .prepare import Opened, column_problems
from .readers.base import InputFile, find_inputs
from .readers.felis import FelisTable
from .readers.source import open_source, source_problems

__all__ = ["try_inputs"]


def try_inputs(
    config: BuildConfig, table: TableConfig, felis: FelisTable | None
) -> tuple[Opened | None, list[PartitioningError]]:
    """Open the input of a table; return it, if it can be built from, and all that is wrong but damaged files.

    Damaged files are part of what is opened; where nothing could be, they are among the problems.
    """
    problems, files = list[PartitioningError](), dict[Path, InputFile]()
    for pattern in table.input:
        try:
            files |= {file.path.resolve(): file for file in find_inputs([pattern], config.input_dir)}
        except InputError as error:
            problems.append(error)
    if not files:
        return None, problems
    damaged, found = list[DamagedInputError](), tuple(files.values())
    try:
        source = open_source(table, found, felis, on_damaged=damaged.append)
    except InputError as error:
        return None, [*problems, *(list(source_problems(table, found, felis)) or [error])]
    problems += column_problems(table, source)
    return (None if problems else Opened(source, tuple(damaged))), problems
