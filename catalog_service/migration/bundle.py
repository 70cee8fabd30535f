"""A copy of the recorder that runs anywhere: with pymysql in it, on a plain Python 3.11."""

import importlib.metadata
import shutil
from pathlib import Path

from catalog_service.exceptions import ParameterError

__all__ = ["make_bundle"]


def make_bundle(directory: Path) -> Path:
    """Copy the recorder and pymysql into a directory.

    Parameters
    ----------
    directory
        To be made.

    Returns
    -------
    Path
        What Python is to run.

    Raises
    ------
    ParameterError
        If the directory exists.
    ModuleNotFoundError
        If pymysql is not installed.
    """
    import pymysql  # noqa: PLC0415 - of the extra `migrate`

    if directory.exists():
        raise ParameterError(f"{directory} exists.", remedy="Name a directory to be made, or remove it.")
    program = directory / "recorder"
    _copy_modules(Path(__file__).parent / "recorder", program)
    _copy_modules(Path(pymysql.__file__).parent, program / "vendor" / "pymysql")
    for file in importlib.metadata.files("pymysql") or []:
        if file.name.upper().startswith("LICENSE"):
            shutil.copy(str(file.locate()), program / "vendor" / "pymysql" / "LICENSE")
    return program


def _copy_modules(source: Path, target: Path) -> None:
    for file in sorted(source.rglob("*.py")):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
