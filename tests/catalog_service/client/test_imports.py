"""Importing the client stays light."""

import subprocess
import sys

HEAVY = (
    "duckdb",
    "fastapi",
    "starlette",
    "astropy",
    "pandas",
    "polars",
    "pyvo",
    "lark",
    "partitioning",
)

SCRIPT = """
import sys
import {module}
ours = {{name for name in sys.modules if name.startswith("catalog_service.")}}
print(*[name for name in {heavy!r} if name in sys.modules])
print(*sorted(name for name in ours if not name.startswith("catalog_service.client")))
"""


def lines_of(module: str, heavy: tuple[str, ...]) -> list[str]:
    script = SCRIPT.format(module=module, heavy=heavy)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_the_client_loads_no_heavy_library() -> None:
    loaded, ours = lines_of("catalog_service.client", (*HEAVY, "rich", "typer"))
    assert loaded == ""
    assert ours.split() == [
        "catalog_service.exceptions",
        "catalog_service.models",
        "catalog_service.models.wire",
        "catalog_service.version",
    ]


def test_the_command_line_loads_no_heavy_library() -> None:
    loaded, _ = lines_of("catalog_service.cli", HEAVY)
    assert loaded == ""


def test_numpy_comes_with_pyarrow_alone() -> None:
    script = (
        "import sys, pyarrow, pyarrow.compute, urllib3; before = 'numpy' in sys.modules; "
        "import catalog_service.client; print(before == ('numpy' in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
