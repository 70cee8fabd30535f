"""A cone search's result has one main identifier and position, whatever the table says of itself."""

from dataclasses import replace

import pytest

from catalog_service.exceptions import ParameterError
from catalog_service.models.schema import Column, DataType, SkyPosition, Table
from catalog_service.models.tree import Cast, ColumnRef, Distance, Point, RealLiteral, SelectItem
from catalog_service.services.cone_columns import Labels, cone_items

RA, DEC = Column(name="ra", datatype=DataType.DOUBLE), Column(name="dec", datatype=DataType.DOUBLE)
MAIN_RA, MAIN_DEC = replace(RA, ucd="pos.eq.ra;meta.main"), replace(DEC, ucd="pos.eq.dec;meta.main")
DISTANCE = Distance(Point(ColumnRef(0, RA), ColumnRef(0, DEC)), Point(RealLiteral(1.0), RealLiteral(2.0)))


def items(
    *columns: Column,
    names: tuple[str, ...] | None = ("*",),
    labels: Labels = Labels.UCD1PLUS,
    key: tuple[str, ...] = (),
    distance: Distance | None = None,
) -> tuple[SelectItem, ...]:
    table = Table("s", "t", columns, primary_key=key)
    return cone_items(table, SkyPosition("ra", "dec"), names, labels=labels, distance=distance)


def ucds(found: tuple[SelectItem, ...]) -> dict[str, str | None]:
    return {item.column.name: item.column.ucd for item in found if item.column is not None}


def column(name: str, datatype: DataType = DataType.LONG, **more: object) -> Column:
    return replace(Column(name=name, datatype=datatype), **more)  # type: ignore[arg-type]


def test_undescribed_columns_get_the_ucds_that_clients_look_for() -> None:
    found = ucds(items(RA, DEC, column("mag"), column("number", indexed=True)))
    expected = {"ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main", "mag": None, "number": "meta.id;meta.main"}
    assert found == expected


def test_other_columns_lose_the_word_main() -> None:
    other = [column("ra2", ucd="pos.eq.ra;meta.main"), column("dec2", ucd="POS.EQ.DEC; META.MAIN")]
    found = ucds(items(RA, DEC, *other, column("a", ucd="meta.id;meta.main"), column("b", ucd="meta.id;meta.main")))
    assert [name for name, ucd in found.items() if ucd and "main" in ucd.lower()] == ["ra", "dec", "a"]
    assert (found["ra2"], found["dec2"], found["b"]) == ("pos.eq.ra", "POS.EQ.DEC", "meta.id")


@pytest.mark.parametrize(
    ("columns", "key", "chosen"),
    [
        ((column("a", ucd="meta.id;meta.main"), column("b", ucd="meta.id;meta.main")), ("b",), "b"),
        ((column("a"), column("b", ucd="meta.id;meta.main")), ("a",), "b"),
        ((column("a"), column("b"), column("c", indexed=True)), ("b", "a"), "b"),
        ((column("a"), column("b")), (), None),
    ],
)
def test_the_identifier(columns: tuple[Column, ...], key: tuple[str, ...], chosen: str | None) -> None:
    found = ucds(items(RA, DEC, *columns, key=key))
    assert [name for name, ucd in found.items() if ucd == "meta.id;meta.main"] == ([chosen] if chosen else [])


def test_identifier_and_position_are_there_whatever_is_asked_for() -> None:
    found = items(column("id"), MAIN_RA, MAIN_DEC, column("mag"), names=("mag", "dec", "mag"), key=("id",))
    assert list(ucds(found)) == ["id", "ra", "mag", "dec"]
    found = items(column("id"), MAIN_RA, MAIN_DEC, column("mag"), names=("mag",), key=("id",), labels=Labels.TABLE)
    assert list(ucds(found)) == ["mag"]


def test_the_words_of_scs_1_03_and_its_types() -> None:
    found = items(column("id"), MAIN_RA, MAIN_DEC, key=("id",), labels=Labels.UCD1, distance=DISTANCE)
    assert list(ucds(found).values()) == ["POS_ANG_DIST_GENERAL", "ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"]
    identifier = found[1]
    assert isinstance(identifier.expr, Cast)
    assert identifier.column is not None
    assert identifier.column.datatype is identifier.expr.target is DataType.TEXT


def test_positions_are_floating_point_numbers() -> None:
    found = items(column("ra", DataType.INT), column("dec", DataType.FLOAT), key=())
    assert [item.column.datatype for item in found if item.column] == [DataType.DOUBLE, DataType.FLOAT]
    assert isinstance(found[0].expr, Cast)


def test_the_column_of_distances_has_a_name_of_its_own() -> None:
    found = items(RA, DEC, column("_R"), column("_r_"), distance=DISTANCE)
    assert [item.column.name for item in found if item.column] == ["_r__", "ra", "dec", "_R", "_r_"]
    assert found[0].column is not None
    assert (found[0].column.unit, found[0].column.ucd) == ("deg", "pos.angDistance")


def test_an_unknown_column_is_named_with_one_that_is_like_it() -> None:
    with pytest.raises(ParameterError, match="no column 'mog'") as caught:
        items(RA, DEC, column("mag"), names=("mog",))
    assert caught.value.remedy == "Did you mean mag?"


def test_a_column_that_is_not_served_is_said_to_be_one() -> None:
    table = Table("s", "T", (RA, DEC), unserved=(("u", "uint64"),))
    with pytest.raises(ParameterError, match=r"column 'u' of s\.T has type uint64, which is not served"):
        cone_items(table, SkyPosition("ra", "dec"), ("U",), labels=Labels.UCD1PLUS, distance=None)
