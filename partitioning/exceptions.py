"""Exceptions of the partitioner and of the on-disk contract.

::

    PartitioningError
    |- ConfigError             the build's configuration is unusable
    |- InputError              an input file or its content is unusable
    |  |- SchemaMismatchError  an input file's columns differ from the declared schema
    |- LayoutError             a published catalog does not follow the on-disk contract
    |- RegionError             a region on the sky is ill-defined
"""

__all__ = [
    "ConfigError",
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


class LayoutError(PartitioningError):
    """A published catalog or its manifest is damaged, incomplete or of an unknown version."""


class RegionError(PartitioningError, ValueError):
    """A region's parameters do not describe a region of the sky."""
