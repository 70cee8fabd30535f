"""Processes of builds and of the service do without pandas, wherever it is installed."""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["hide_pandas"]


class _NoPandas(MetaPathFinder, Loader):
    """Finds pandas, so that asking whether it is installed is no error, and refuses to load it."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == "pandas" else None

    def exec_module(self, module: ModuleType) -> None:
        msg = "pandas is hidden from this process"
        raise ModuleNotFoundError(msg, name=module.__name__)


def hide_pandas() -> None:
    """Keep pyarrow from importing pandas in passing: half a second and 50 MB for each process, and never used."""
    if not any(isinstance(finder, _NoPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoPandas())
