"""Every tutorial notebook runs from top to bottom against a running service."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parent.parent.parent / "docs" / "tutorials"

FIGURES = {"first_cone_search": 2}
"""Number of figures that each notebook draws."""


def outputs_of(notebook: Any, kind: str) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == kind]


@pytest.fixture
def kernel_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what a Jupyter kernel writes away from the user's home."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


def test_every_notebook_is_listed() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.ipynb")} == set(FIGURES)


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    notebook = nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_notebook_runs(name: str, server_url: str, kernel_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_SERVICE_URL", server_url)
    notebook = nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(kernel_home)}}).execute()

    displayed = outputs_of(notebook, "display_data")
    assert sum("image/png" in output.data for output in displayed) == FIGURES[name]
    assert not [stream.text for stream in outputs_of(notebook, "stream") if stream.name == "stderr"]
    texts = [output.data["text/plain"] for output in outputs_of(notebook, "execute_result")]
    assert "False" not in texts  # the notebook ends by comparing its results with those of pyvo
