"""What a caller may see, and how names are looked up."""

import pytest

from catalog_service.models.schema import Column, DataType, Schema, Table
from catalog_service.models.user import ANONYMOUS
from catalog_service.services.visibility import VisibleCatalogs


def schema(name: str, *tables: str, aliases: tuple[str, ...] = (), access: str | None = "public") -> Schema:
    columns = (Column(name="id", datatype=DataType.LONG),)
    return Schema(name, tuple(Table(name, table, columns) for table in tables), aliases=aliases, access=access)


@pytest.mark.parametrize("order", [1, -1])
def test_the_name_of_a_schema_wins_over_an_alias_of_another(order: int) -> None:
    schemas = (schema("old", "stars"), schema("new", "stars", aliases=("OLD", "newest")))[::order]
    visible = VisibleCatalogs(schemas, ANONYMOUS)
    assert [table.full_name for table in visible.find("Old", "Stars")] == ["old.stars"]
    assert [table.full_name for table in visible.find("NEWEST", "stars")] == ["new.stars"]


def test_closed_schemas_do_not_exist() -> None:
    visible = VisibleCatalogs((schema("open", "a"), schema("shut", "b", aliases=("door",), access=None)), ANONYMOUS)
    assert visible.table_names() == ("open.a",)
    assert visible.find("door", "b") == visible.find("shut", "b") == visible.find(None, "b") == ()
