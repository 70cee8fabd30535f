"""Tables of a grammar are made once, and a file of them that is damaged costs nothing but time."""

from pathlib import Path

import pytest

from catalog_service.exceptions import QuerySyntaxError
from catalog_service.language import adql, kept

TEXT = "SELECT TOP 5 a.x, -y + 2 * z AS w FROM s.t AS a WHERE NOT (x < 1 OR y IN (1, 2)) ORDER BY 2 DESC"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where nothing is kept yet."""
    monkeypatch.setattr(kept, "cache_from_source", lambda _: str(tmp_path / "kept.cpython-311.pyc"))
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    return tmp_path


def tree_and_error() -> tuple[object, str]:
    """Return what a parser that is made now gives."""
    adql._parser.cache_clear()
    with pytest.raises(QuerySyntaxError) as error:
        adql.parse_adql("SELECT x FROM t WHERE x < ORDER BY x")
    return adql.parse_adql(TEXT), str(error.value)


def test_tables_that_were_kept_give_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tree_and_error()
    (file,) = place.iterdir()
    assert file.name.endswith(".cpython-311.tables")
    monkeypatch.setattr(kept, "_keep", lambda *_: pytest.fail("the tables were made anew"))
    assert tree_and_error() == made


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x80\x05N."])
def test_damaged_tables_are_made_anew(place: Path, damage: bytes) -> None:
    made = tree_and_error()
    (file,) = place.iterdir()
    content = file.read_bytes()
    file.write_bytes(damage or content[:1000])
    assert tree_and_error() == made
    assert len(file.read_bytes()) > len(content) // 2


def test_nothing_is_kept_where_nothing_can_be_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "cache_from_source", lambda _: str(place / "missing" / "kept.cpython-311.pyc"))
    tree_and_error()
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    monkeypatch.setattr(kept, "cache_from_source", lambda _: str(place / "kept.cpython-311.pyc"))
    tree_and_error()
    assert not list(place.iterdir())
