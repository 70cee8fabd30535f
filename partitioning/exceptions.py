"""Exceptions of the partitioner and of the on-disk contract.

::

    PartitioningError
    |- ConfigError             the build's configuration is unusable
    |- InputError              an input file or its content is unusable
    |  |- SchemaMismatchError  an input file's columns differ from the declared schema
    |  |- DamagedInputError    an input file, or one part of it, cannot be read
    |- DamagedSpillError       a spill file of a build is not as it was written
    |- LayoutError             a published catalog does not follow the on-disk contract
    |- RegionError             a region on the sky is ill-defined
"""

__all__ = [
    "ConfigError",
    "DamagedInputError",
    "DamagedSpillError",
    "InputError",
    "LayoutError",
    "PartitioningError",
    "RegionError",
    "SchemaMismatchError",
]


class PartitioningError(Exception):
    """Base of every error raised by `partitioning`."""


class ConfigError(PartitioningError):
    """The configuration of a build is unusable; the message names the key and the remedy."""


class InputError(PartitioningError):
    """An input file is missing, unreadable or holds unusable content; the message names it."""


class SchemaMismatchError(InputError):
    """An input file's columns differ from those declared or from the first file's."""


class DamagedInputError(InputError):
    """An input file cannot be read: it vanished, is cut short, or holds damaged bytes.

    Parameters
    ----------
    file
        Name of the file, as in `readers.base.InputFile.name`.
    problem
        What is wrong, for people; names the part in the format's own term.
    part
        Number of the damaged part (the row group of a Parquet file), None if it is not known or all of the file.
    """

    def __init__(self, file: str, problem: str, part: int | None = None) -> None:
        super().__init__(file, problem, part)  # all of them, so that the error survives the way between processes
        self.file = file
        self.problem = problem
        self.part = part

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


class DamagedSpillError(PartitioningError):
    """What an input unit spilled is gone or damaged: a machine lost power, or a disk fails.

    Parameters
    ----------
    unit
        Number of the input unit.
    """

    def __init__(self, unit: int) -> None:
        super().__init__(unit)  # so that the error survives the way between processes
        self.unit = unit

    def __str__(self) -> str:
        return f"the spill files of input unit {self.unit} are damaged; run the same command again: it makes them anew"


class LayoutError(PartitioningError):
    """A published catalog or its manifest is damaged, incomplete or of an unknown version."""


class RegionError(PartitioningError, ValueError):
    """A region's parameters do not describe a region of the sky."""
