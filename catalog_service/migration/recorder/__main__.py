"""``python3.11 recorder ADDRESS --out DIR``: run from wherever this directory was copied to."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run() -> int:
    """Run the command line of this directory, whatever its name and place."""
    if __package__:
        from .command import main  # noqa: PLC0415 - there may be no package to import from

        return main()
    # Python put this directory itself first: its modules are to be found as parts of a package only
    sys.path[0] = str(HERE.parent)
    vendored = HERE / "vendor"
    if vendored.is_dir():
        sys.path.insert(0, str(vendored))
    code: int = importlib.import_module(f"{HERE.name}.command").main()
    return code


if __name__ == "__main__":
    sys.exit(run())
