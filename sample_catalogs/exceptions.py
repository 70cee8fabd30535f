"""Errors of the sample catalog scripts.

::

    SampleCatalogError
    |-- SourcePackageMissingError    the system package holding the source data is not installed
    |-- SourceFormatError            the source file is not laid out as documented
    |-- SurveyConfigError            the arguments of the survey generator contradict each other or make no sense
    `-- SurveyOutputError            the output directory cannot be used
"""

from pathlib import Path

__all__ = [
    "SampleCatalogError",
    "SourceFormatError",
    "SourcePackageMissingError",
    "SurveyConfigError",
    "SurveyOutputError",
]


class SampleCatalogError(Exception):
    """Base of every error raised by the sample catalog scripts."""


class SourcePackageMissingError(SampleCatalogError):
    """The system package that holds the source data is not installed.

    Parameters
    ----------
    package
        Name of the Debian package.
    path
        File of that package that was looked for.
    """

    def __init__(self, package: str, path: Path) -> None:
        super().__init__(
            f"{path} does not exist: the Debian package {package} is not installed. "
            f"Install it with: apt-get update && apt-get install --yes {package}"
        )
        self.package = package
        self.path = path


class SourceFormatError(SampleCatalogError):
    """The source file lacks a part that its documented format has."""


class SurveyConfigError(SampleCatalogError, ValueError):
    """An argument of the survey generator is out of range."""


class SurveyOutputError(SampleCatalogError):
    """The output directory of the survey generator cannot be used."""
