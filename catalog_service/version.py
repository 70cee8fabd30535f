"""Version of the distribution that is installed."""

from importlib.metadata import version
from typing import Final

__all__ = ["VERSION"]

VERSION: Final = version("catalog-service")
"""As in ``pyproject.toml``."""
