"""The query tree: what a query of any language becomes.

Frozen nodes that know their place in the text. Nothing can be emitted that has no node here. Parsers make
names (`Name`, `TableName`); the resolver replaces them by references (`ColumnRef`, `TableRef`); geometry
keeps its own nodes up to emission, so that the planner can read regions off the tree.

Conditions and expressions are both `Expr`: types tell them apart.
"""

from dataclasses import dataclass, field
from enum import Enum

from .schema import Column, DataType, Table

__all__ = [
    "NO_SPAN",
    "Aggregate",
    "And",
    "Area",
    "Between",
    "Binary",
    "BooleanLiteral",
    "BoxShape",
    "Case",
    "Cast",
    "Centroid",
    "Circle",
    "ColumnRef",
    "CommonTable",
    "CommonTableRef",
    "Comparison",
    "Contains",
    "Coordinate",
    "Distance",
    "Exists",
    "Expr",
    "FromItem",
    "FunctionCall",
    "Identifier",
    "InList",
    "InQuery",
    "InUnit",
    "IntegerLiteral",
    "Intersects",
    "IsNull",
    "Join",
    "JoinKind",
    "Like",
    "Name",
    "Node",
    "Not",
    "NullLiteral",
    "Or",
    "OrderItem",
    "Point",
    "PolygonShape",
    "Query",
    "RealLiteral",
    "RegionColumn",
    "RegionLiteral",
    "RowsFrame",
    "ScalarQuery",
    "Select",
    "SelectItem",
    "SetOperation",
    "Shape",
    "ShowColumns",
    "Span",
    "Star",
    "StringLiteral",
    "SubqueryRef",
    "TableName",
    "TableRef",
    "Unary",
    "WindowCall",
    "With",
]


@dataclass(frozen=True, slots=True)
class Span:
    """A place in the query text; it keeps the text, so that any stage can point at it."""

    start: int
    """0-based offset of the first character."""
    stop: int
    """One past the last character."""
    text: str = field(default="", repr=False)
    """The whole query text."""

    @property
    def line(self) -> int:
        """1-based line of the first character."""
        return self.text.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        """1-based column of the first character."""
        return self.start - self.text.rfind("\n", 0, self.start)


NO_SPAN = Span(0, 0)
"""Of nodes that no text made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all nodes; two nodes are equal when they mean the same, wherever they stand."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """One identifier; a delimited one ("like this") is case-sensitive in ADQL."""

    text: str
    delimited: bool = False


# --- literals and names ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IntegerLiteral(Node):
    """An integer; signs are `Unary` nodes."""

    value: int


@dataclass(frozen=True, slots=True)
class RealLiteral(Node):
    """A decimal or exponent number; always a double."""

    value: float


@dataclass(frozen=True, slots=True)
class StringLiteral(Node):
    """Text, unescaped."""

    value: str


@dataclass(frozen=True, slots=True)
class BooleanLiteral(Node):
    """TRUE or FALSE (a relaxation in ADQL)."""

    value: bool


@dataclass(frozen=True, slots=True)
class NullLiteral(Node):
    """NULL."""


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A column name as written: 1 to 4 parts. Gone after resolution."""

    parts: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class ColumnRef(Node):
    """A resolved column of the FROM item numbered `source`."""

    source: int
    column: Column


@dataclass(frozen=True, slots=True)
class Star(Node):
    """``*`` or ``qualifier.*``; gone after resolution (COUNT(*) has its own flag)."""

    qualifier: tuple[Identifier, ...] = ()


# --- expressions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-`` or ``+``."""

    op: str
    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """``+ - * / ||``."""

    op: str
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class FunctionCall(Node):
    """A scalar function of the allow-list; `name` is its canonical lower-case name after resolution."""

    name: str
    args: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """A set function of the allow-list; no arguments means ``COUNT(*)``."""

    name: str
    args: tuple["Expr", ...]
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class RowsFrame:
    """``ROWS BETWEEN start AND stop`` of a window, as distances from the current row: -3 is ``3 PRECEDING``."""

    start: float | None
    """None: UNBOUNDED PRECEDING."""
    stop: float | None
    """None: UNBOUNDED FOLLOWING."""
    by_value: bool = False
    """Whether it is RANGE: distances are those of the value that the window is sorted by, not numbers of rows."""

    @property
    def needs_number(self) -> bool:
        """Whether the window must be sorted by one number."""
        return self.by_value and bool(self.start or self.stop)


@dataclass(frozen=True, slots=True)
class WindowCall(Node):
    """``name(args) OVER (...)``: a set function or one of rows in an order (a relaxation in ADQL)."""

    name: str
    args: tuple["Expr", ...]
    """None means ``COUNT(*)``, or a function without arguments."""
    distinct: bool = False
    partition_by: tuple["Expr", ...] = ()
    order_by: tuple["OrderItem", ...] = ()
    rows: RowsFrame | None = None


@dataclass(frozen=True, slots=True)
class Cast(Node):
    """CAST(operand AS target[(length)])."""

    operand: "Expr"
    target: DataType
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Case(Node):
    """CASE [operand] WHEN .. THEN .. [ELSE ..] END (a relaxation in ADQL)."""

    operand: "Expr | None"
    branches: tuple[tuple["Expr", "Expr"], ...]
    default: "Expr | None"


@dataclass(frozen=True, slots=True)
class InUnit(Node):
    """IN_UNIT(operand, 'unit')."""

    operand: "Expr"
    unit: str
    factor: float = 1.0
    """What the operand is multiplied by; known after resolution."""


@dataclass(frozen=True, slots=True)
class ScalarQuery(Node):
    """A subquery in parentheses used as a value (a relaxation in ADQL)."""

    query: "Query"


# --- conditions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class And(Node):
    """Conjunction of two or more conditions, flat."""

    operands: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Or(Node):
    """Disjunction of two or more conditions, flat."""

    operands: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Not(Node):
    """Negation."""

    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """``= <> < <= > >=`` (``!=`` is written ``<>`` here) and, from the MySQL dialect, ``<=>``, which is never NULL."""

    op: str
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class Between(Node):
    """operand [NOT] BETWEEN low AND high."""

    operand: "Expr"
    low: "Expr"
    high: "Expr"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class InList(Node):
    """operand [NOT] IN (items)."""

    operand: "Expr"
    items: tuple["Expr", ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class InQuery(Node):
    """operand [NOT] IN (SELECT ...)."""

    operand: "Expr"
    query: "Query"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like(Node):
    """operand [NOT] LIKE pattern, or ILIKE."""

    operand: "Expr"
    pattern: "Expr"
    negated: bool = False
    ignore_case: bool = False
    escape: str | None = None
    """Character that makes the one after it mean itself in the pattern."""


@dataclass(frozen=True, slots=True)
class IsNull(Node):
    """operand IS [NOT] NULL."""

    operand: "Expr"
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """EXISTS (SELECT ...)."""

    query: "Query"


# --- geometry (ADQL 2.1 section 4.2) --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Node):
    """Base of geometry constructors."""

    frame: str | None = field(default=None, compare=False)
    """The deprecated coordinate-system argument; only ICRS passes resolution, which drops it."""


@dataclass(frozen=True, slots=True)
class Point(Shape):
    """POINT(ra, dec), degrees."""

    ra: "Expr"
    dec: "Expr"


@dataclass(frozen=True, slots=True)
class Circle(Shape):
    """CIRCLE(centre, radius), degrees; the numeric form has a `Point` made of its numbers."""

    centre: "Expr"
    radius: "Expr"


@dataclass(frozen=True, slots=True)
class BoxShape(Shape):
    """BOX(centre, width, height): a polygon through the arm ends of a cross; a `PolygonShape` after resolution."""

    centre: "Expr"
    width: "Expr"
    height: "Expr"


@dataclass(frozen=True, slots=True)
class PolygonShape(Shape):
    """POLYGON(vertices): every vertex an expression of type point."""

    vertices: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class RegionLiteral(Node):
    """REGION('...'), an STC-S text; a shape of literals after resolution."""

    text: str


@dataclass(frozen=True, slots=True)
class RegionColumn(Node):
    """A column of STC-S texts, such as ObsCore's ``s_region``, used as a shape; made by the resolver."""

    text: "Expr"


@dataclass(frozen=True, slots=True)
class Contains(Node):
    """CONTAINS(inner, outer): integer 1 or 0."""

    inner: "Expr"
    outer: "Expr"


@dataclass(frozen=True, slots=True)
class Intersects(Node):
    """INTERSECTS(first, second): integer 1 or 0."""

    first: "Expr"
    second: "Expr"


@dataclass(frozen=True, slots=True)
class Distance(Node):
    """DISTANCE(first, second): degrees; the 4-number form has two `Point` nodes."""

    first: "Expr"
    second: "Expr"


@dataclass(frozen=True, slots=True)
class Coordinate(Node):
    """COORD1 (`axis` 1, RA) or COORD2 (`axis` 2, Dec) of a point, degrees."""

    axis: int
    point: "Expr"


@dataclass(frozen=True, slots=True)
class Area(Node):
    """AREA(shape): square degrees."""

    shape: "Expr"


@dataclass(frozen=True, slots=True)
class Centroid(Node):
    """CENTROID(shape): a point."""

    shape: "Expr"


Expr = (
    IntegerLiteral
    | RealLiteral
    | StringLiteral
    | BooleanLiteral
    | NullLiteral
    | Name
    | ColumnRef
    | Star
    | Unary
    | Binary
    | FunctionCall
    | Aggregate
    | WindowCall
    | Cast
    | Case
    | InUnit
    | ScalarQuery
    | And
    | Or
    | Not
    | Comparison
    | Between
    | InList
    | InQuery
    | Like
    | IsNull
    | Exists
    | Point
    | Circle
    | BoxShape
    | PolygonShape
    | RegionLiteral
    | RegionColumn
    | Contains
    | Intersects
    | Distance
    | Coordinate
    | Area
    | Centroid
)

# --- FROM -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableName(Node):
    """A table name as written: 1 to 3 parts, and its alias. Gone after resolution."""

    parts: tuple[Identifier, ...]
    alias: Identifier | None = None


@dataclass(frozen=True, slots=True)
class TableRef(Node):
    """A resolved base table; `source` numbers FROM items through the whole query, subqueries included."""

    source: int
    table: Table
    alias: str
    """Name by which the query knows it (alias or table name)."""


@dataclass(frozen=True, slots=True)
class SubqueryRef(Node):
    """A derived table; `source` is -1 before resolution."""

    query: "Query"
    alias: Identifier
    source: int = -1
    columns: tuple[Column, ...] = ()
    """Result columns, known after resolution."""


@dataclass(frozen=True, slots=True)
class CommonTableRef(Node):
    """A reference to a common table (WITH), made by the resolver."""

    source: int
    name: str
    alias: str
    columns: tuple[Column, ...]


class JoinKind(Enum):
    """Kinds of joins; the value is the SQL keyword."""

    INNER = "INNER"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FULL = "FULL"
    CROSS = "CROSS"

    @property
    def is_outer(self) -> bool:
        """Whether rows without a partner are kept, with NULLs in its place."""
        return self in {JoinKind.LEFT, JoinKind.RIGHT, JoinKind.FULL}


@dataclass(frozen=True, slots=True)
class Join(Node):
    """A join; a comma in FROM is a CROSS join. NATURAL and USING become `using` names, then `on` in resolution."""

    kind: JoinKind
    left: "FromItem"
    right: "FromItem"
    on: Expr | None = None
    using: tuple[Identifier, ...] = ()
    natural: bool = False


FromItem = TableName | TableRef | SubqueryRef | CommonTableRef | Join

# --- queries --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SelectItem(Node):
    """One item of the select list; `column` describes the result column after resolution."""

    expr: Expr
    alias: Identifier | None = None
    column: Column | None = None


@dataclass(frozen=True, slots=True)
class OrderItem(Node):
    """One sort key; an integer literal is a position in the select list."""

    expr: Expr
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(frozen=True, slots=True)
class Select(Node):
    """One SELECT. `top` and `offset` are literals; NULLs sort first in neither direction unless asked (see emit)."""

    items: tuple[SelectItem, ...]
    source: FromItem | None
    where: Expr | None = None
    group_by: tuple[Expr, ...] = ()
    having: Expr | None = None
    order_by: tuple[OrderItem, ...] = ()
    distinct: bool = False
    top: int | None = None
    offset: int | None = None
    rollup: bool = False
    """Whether there are groups of the first keys alone, too, down to one of all rows; other keys are NULL there."""


@dataclass(frozen=True, slots=True)
class SetOperation(Node):
    """UNION, EXCEPT or INTERSECT [ALL] of two queries."""

    op: str
    all: bool
    left: "Query"
    right: "Query"
    order_by: tuple[OrderItem, ...] = ()
    top: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class CommonTable(Node):
    """One ``name AS (query)`` of a WITH."""

    name: Identifier
    query: "Query"


@dataclass(frozen=True, slots=True)
class With(Node):
    """WITH tables body."""

    tables: tuple[CommonTable, ...]
    body: "Query"


Query = Select | SetOperation | With


@dataclass(frozen=True, slots=True)
class ShowColumns(Node):
    """SHOW COLUMNS and DESCRIBE of the MySQL dialect: a query of TAP_SCHEMA after resolution."""

    table: TableName
    full: bool = False
