"""Random queries over `tests.generated.sky`, in ADQL and in Qserv's SQL: what users write, and what they might."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Generated", "generate"]

NUMBERS = {
    "Object": ("id", "ra", "dec", "mag", "flux", "n", "m"),
    "Source": ("sid", "id", "visit", "flux", "ra", "dec"),
    "Visit": ("visit", "mjd"),
}
DYADIC = {"Object": ("mag", "flux", "n", "m"), "Source": ("visit", "flux"), "Visit": ("visit", "mjd")}
"""Columns whose sums are exact in any order."""
TEXTS = {"Object": ("name", "code"), "Source": ("band",), "Visit": ("band",)}
KEYS = {"Object": "id", "Source": "sid", "Visit": "visit"}
PLACED = ("Object", "Source")
VALUES = ("COUNT({})", "COUNT(DISTINCT {})", "MEDIAN({})", "SUM({})")
SPOTS = ((0.0, 0.0), (359.9, 0.2), (150.0, 2.0), (123.0, 89.5), (10.0, -89.0), (45.0, 41.8), (270.0, -30.0))
IDS = 2**60
"""Ids of Object are multiples of 3 above."""


@dataclass(frozen=True)
class Generated:
    """One query."""

    text: str
    is_qserv: bool
    is_ordered: bool
    """Whether the order of its rows is given."""


@dataclass
class _Source:
    alias: str
    table: str


@dataclass
class _Writer:
    rng: random.Random
    is_qserv: bool
    names: int = 0
    asks: bool = True
    """Whether conditions may have subqueries: those of outer joins may not."""
    sources: list[_Source] = field(default_factory=list)

    # --- names ---

    def source(self, table: str | None = None) -> _Source:
        self.names += 1
        chosen = table or self.rng.choice(("Object", "Object", "Object", "Source", "Source", "Visit"))
        return _Source(f"{chosen[0].lower()}{self.names}", chosen)

    def column(self, kinds: dict[str, tuple[str, ...]], sources: list[_Source] | None = None) -> str:
        source = self.rng.choice(sources or self.sources)
        return f"{source.alias}.{self.rng.choice(kinds[source.table])}"

    def placed(self) -> str | None:
        found = [one.alias for one in self.sources if one.table in PLACED]
        return self.rng.choice(found) if found else None

    # --- values ---

    def constant(self, column: str) -> str:
        rng, name = self.rng, column.split(".")[1]
        match name:
            case "id":
                return str(IDS + 3 * rng.randrange(-2, 520) + rng.choice((0, 0, 0, 1)))
            case "sid":
                return str(rng.randrange(0, 1000))
            case "ra":
                return repr(round(rng.uniform(0, 360), 2))
            case "dec":
                return repr(round(rng.uniform(-90, 90), 2))
            case "mag":
                return rng.choice((repr(rng.randrange(128, 208) / 8), repr(round(rng.uniform(16, 26), 1))))
            case "flux":
                return rng.choice((repr(rng.randrange(-400, 800) / 16), "0", "1e2"))
            case "visit":
                return str(rng.randrange(0, 32))
            case "mjd":
                return repr(60000 + rng.randrange(0, 64) / 4)
            case _:
                return rng.choice((str(rng.randrange(-6, 12)), repr(rng.randrange(-9, 9) / 2)))

    def number(self, depth: int = 2) -> str:
        rng = self.rng
        if depth == 0 or rng.random() < 0.5:
            return self.column(NUMBERS)
        one, other = self.number(depth - 1), self.number(depth - 1)
        forms = [
            f"({one} + {rng.randrange(1, 9)})",
            f"({one} - {other})",
            f"({one} * 2)",
            f"({one} / 4.0)",
            f"({one} / ({other}))",
            f"ABS({one})",
            f"FLOOR({one})",
            f"ROUND({self.column(DYADIC)}, 1)",
            f"COALESCE({one}, {rng.randrange(-3, 3)})",
            f"CASE WHEN {self.condition(1)} THEN {one} ELSE {other} END",
            f"CASE WHEN {self.condition(1)} THEN {one} END",
            f"MOD({self.column({'Object': ('id', 'n', 'm'), 'Source': ('sid', 'visit'), 'Visit': ('visit',)})}, 7)",
            f"SQRT({one})",
            f"-({one})",
        ]
        alias = self.placed()
        if alias is not None:
            ra, dec = rng.choice(SPOTS)
            if self.is_qserv:
                forms.append(f"scisql_angSep({alias}.ra, {alias}.dec, {ra}, {dec})")
            else:
                forms.append(f"DISTANCE(POINT({alias}.ra, {alias}.dec), POINT({ra}, {dec}))")
                forms.append(f"COORD2(POINT({alias}.ra, {alias}.dec))")
        if self.is_qserv:
            forms += [f"IF({self.condition(1)}, {one}, {other})", f"IFNULL({one}, 0)", f"NULLIF({one}, 3)"]
        return rng.choice(forms)

    def word(self) -> str:
        rng, column = self.rng, self.column(TEXTS)
        return rng.choice((column, column, f"UPPER({column})", f"LOWER({column})", f"COALESCE({column}, 'none')"))

    def text(self) -> str:
        rng = self.rng
        return repr(rng.choice((f"J{rng.randrange(0, 520):04d}", "Star 3", "star 3", "r", "i", "R", "none", "")))

    # --- conditions ---

    def region(self, alias: str) -> str:
        rng = self.rng
        ra, dec = rng.choice(SPOTS) if rng.random() < 0.7 else (round(rng.uniform(0, 360), 1), rng.randrange(-85, 85))
        radius = rng.choice((0.01, 0.5, 2, 10, 30))
        own = f"{alias}.ra, {alias}.dec"
        east, west, low, high = (ra + radius) % 360, (ra - radius) % 360, max(-90, dec - radius), min(90, dec + radius)
        if self.is_qserv:
            tests = [
                f"scisql_s2PtInCircle({own}, {ra}, {dec}, {radius}) = 1",
                f"scisql_angSep({own}, {ra}, {dec}) < {radius}",
                f"{alias}.ra BETWEEN {min(west, east)} AND {max(west, east)} AND {alias}.dec > {low}",
            ]
            if low < high:
                tests.append(f"scisql_s2PtInBox({own}, {west}, {low}, {east}, {high}) = 1")
            return rng.choice(tests)
        point, circle = f"POINT({own})", f"CIRCLE({ra}, {dec}, {radius})"
        box = f"BOX({ra}, {dec}, {2 * radius}, {radius})"
        dec = max(-80.0, min(80.0, dec))
        step = min(radius, 8)
        corners = ", ".join(
            f"{(ra + x * step) % 360}, {dec + y * step}" for x, y in ((0, 0), (1, 0.1), (0.9, 1), (-1, 0.6))
        )
        shape = rng.choice((circle, circle, box, f"POLYGON({corners})"))
        tests = [
            f"1 = CONTAINS({point}, {shape})",
            f"CONTAINS({point}, {shape}) = 1",
            f"CONTAINS({point}, {shape}) = 0",
            f"INTERSECTS({point}, {shape}) = 1",
            f"DISTANCE({point}, POINT({ra}, {dec})) <= {radius}",
            f"DISTANCE({ra}, {dec}, {own}) < {radius}",
            f"DISTANCE({point}, POINT({ra}, {dec})) > {radius}",
            f"({alias}.ra > {west} OR {alias}.ra < {east}) AND {alias}.dec BETWEEN {low} AND {high}",
        ]
        return rng.choice(tests)

    def condition(self, depth: int = 2) -> str:
        rng = self.rng
        if depth > 0 and rng.random() < 0.35:
            parts = [self.condition(depth - 1) for _ in range(rng.choice((2, 2, 3)))]
            joined = rng.choice((" AND ", " OR ")).join(f"({part})" for part in parts)
            return f"NOT ({joined})" if rng.random() < 0.2 else joined
        alias = self.placed()
        if alias is not None and rng.random() < 0.35:
            return self.region(alias)
        return self.atom(depth)

    def atom(self, depth: int) -> str:
        rng, column = self.rng, self.column(NUMBERS)
        op = rng.choice(("=", "<>", "<", "<=", ">", ">="))
        negated = rng.choice(("", "", "NOT "))
        word = self.word()
        listed = ", ".join(self.constant(column) for _ in range(rng.randrange(1, 6)))
        forms: list[Callable[[], str]] = [
            lambda: f"{column} {op} {self.constant(column)}",
            lambda: f"{self.constant(column)} {op} {column}",
            lambda: f"{column} {negated}BETWEEN {self.constant(column)} AND {self.constant(column)}",
            lambda: f"{column} {negated}IN ({listed})",
            lambda: f"{column} IS {negated}NULL",
            lambda: f"{self.column(NUMBERS)} {op} {self.column(NUMBERS)}",
            lambda: f"{word} {op} {self.text()}",
            lambda: f"{word} {negated}IN ({self.text()}, {self.text()})",
            lambda: f"{self.column(TEXTS)} {negated}LIKE {rng.choice(('S%', '%3', '_', 'J00%', 's_ar %'))!r}",
            lambda: f"{self.column(TEXTS)} IS {negated}NULL",
            lambda: f"{self.number(1)} {op} {self.number(1)}",
        ]
        if depth > 0 and self.asks:
            forms += [lambda: self.subquery_test(op, negated)] * 2
        if self.is_qserv:
            forms += [lambda: f"{column} <=> {self.constant(column)}", lambda: f"{column} != {self.constant(column)}"]
        return rng.choice(forms)()

    def subquery_test(self, op: str, negated: str) -> str:
        """Return a condition with a subquery; one that is correlated sees the sources outside."""
        rng, outer = self.rng, list(self.sources)
        inner = self.source()
        kind = rng.choice(("exists", "exists near", "in", "scalar"))
        others = [one for one in outer if one.table in PLACED]
        if kind == "exists near" and others and not self.is_qserv:
            inner, one = self.source(rng.choice(PLACED)), rng.choice(others)
            near = f"DISTANCE(POINT({one.alias}.ra, {one.alias}.dec), POINT({inner.alias}.ra, {inner.alias}.dec))"
            more = self.inside([inner], lambda: self.condition(0)) if rng.random() < 0.5 else "1 = 1"
            where = f"{near} < {rng.choice((0.002, 0.05, 1))} AND {more}"
            if rng.random() < 0.5:
                where += f" AND {inner.alias}.{KEYS[inner.table]} <> {one.alias}.{KEYS[one.table]}"
            return f"{negated}EXISTS (SELECT 1 FROM sky.{inner.table} AS {inner.alias} WHERE {where})"
        if kind == "scalar":
            column = self.column(DYADIC, [inner])
            where = self.inside([inner], lambda: self.condition(0))
            value = (
                f"SELECT {rng.choice(('MIN', 'MAX', 'AVG', 'SUM'))}({column}) FROM sky.{inner.table} AS {inner.alias}"
            )
            return f"{self.column(NUMBERS)} {op} ({value} WHERE {where})"
        if kind == "in":
            where = self.inside([inner], lambda: self.condition(1))
            key = self.column({"Object": ("id",), "Source": ("id", "visit"), "Visit": ("visit",)}, [inner])
            chosen = f"SELECT {key} FROM sky.{inner.table} AS {inner.alias} WHERE {key} IS NOT NULL AND ({where})"
            return f"{self.column(NUMBERS)} {negated}IN ({chosen})"
        shared = [one for one in outer if one.table != "Visit"] if inner.table != "Visit" else outer
        one = rng.choice(shared or outer)
        pair = self.key(one, inner)
        return f"{negated}EXISTS (SELECT 1 FROM sky.{inner.table} AS {inner.alias} WHERE {pair})"

    def inside(self, sources: list[_Source], write: Callable[[], str]) -> str:
        kept, self.sources = self.sources, sources
        try:
            return write()
        finally:
            self.sources = kept

    # --- FROM ---

    def key(self, one: _Source, other: _Source) -> str:
        names = {one.table, other.table}
        if "Visit" in names and names != {"Visit", "Object"}:
            return f"{one.alias}.visit = {other.alias}.visit"
        if names == {"Visit", "Object"}:
            visit, ours = (one, other) if one.table == "Visit" else (other, one)
            return f"{visit.alias}.visit = {ours.alias}.n"
        return f"{one.alias}.id = {other.alias}.id"

    def joined(self) -> str:
        """Return FROM of one to three tables, and take note of them."""
        rng = self.rng
        first = self.source()
        self.sources = [first]
        text = f"sky.{first.table} AS {first.alias}"
        for _ in range(rng.choice((0, 0, 0, 1, 1, 1, 2))):
            other = self.source()
            one = rng.choice(self.sources)
            near = one.table in PLACED and other.table in PLACED and rng.random() < 0.4
            if near and (one.table, other.table) == ("Source", "Source"):
                other = self.source("Object")
            kind = rng.choice(("JOIN", "JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN"))
            if not near and not self.is_qserv and rng.random() < 0.1:
                kind = "FULL OUTER JOIN"
            on = self.key(one, other)
            if near:
                radius = rng.choice((0.001, 0.02, 0.3))
                mine, theirs = f"{one.alias}.ra, {one.alias}.dec", f"{other.alias}.ra, {other.alias}.dec"
                if self.is_qserv:
                    on = f"scisql_angSep({mine}, {theirs}) < {radius}"
                else:
                    on = rng.choice(
                        (
                            f"DISTANCE(POINT({mine}), POINT({theirs})) < {radius}",
                            f"1 = CONTAINS(POINT({theirs}), CIRCLE(POINT({mine}), {radius}))",
                            f"DISTANCE({mine}, {theirs}) * 3600 <= {radius * 3600}",
                        )
                    )
            if rng.random() < 0.25 and kind != "FULL OUTER JOIN":
                self.asks = False
                on += f" AND {self.inside([one, other], lambda: self.condition(0))}"
                self.asks = True
            text += f" {kind} sky.{other.table} AS {other.alias} ON {on}"
            self.sources.append(other)
        return text

    # --- queries ---

    def plain(self) -> tuple[list[str], str]:
        """Return items, and the rest of a query of rows."""
        rng, source = self.rng, self.joined()
        items = [f"{one.alias}.{KEYS[one.table]}" for one in self.sources]
        items += [rng.choice((self.number, self.word))() for _ in range(rng.randrange(0, 3))]
        where = f" WHERE {self.condition()}" if rng.random() < 0.9 else ""
        return items, f"FROM {source}{where}"

    def rows(self) -> Generated:
        rng = self.rng
        items, rest = self.plain()
        named = ", ".join(f"{item} AS c{number}" for number, item in enumerate(items))
        if rng.random() < 0.3:
            order = ", ".join(f"c{n}{rng.choice((' ASC', '', ' DESC'))}" for n in range(len(items)))
            cut = rng.choice((1, 5, 40))
            if self.is_qserv:
                return self.made(f"SELECT {named} {rest} ORDER BY {order} LIMIT {cut}", is_ordered=True)
            offset = rng.choice(("", f" OFFSET {rng.randrange(0, 9)}"))
            return self.made(f"SELECT TOP {cut} {named} {rest} ORDER BY {order}{offset}", is_ordered=True)
        return self.made(f"SELECT {named} {rest}")

    def stored_rows(self) -> Generated:
        """Return a query for rows of one table as they are stored, which may be read without SQL."""
        rng, source = self.rng, self.source(self.rng.choice(PLACED))
        names = (KEYS[source.table], *DYADIC[source.table], *TEXTS[source.table])
        chosen = rng.sample(names, rng.randrange(1, len(names) + 1))
        items = ", ".join(f"{source.alias}.{name} AS c{number}" for number, name in enumerate(chosen))
        key = f"{source.alias}.{KEYS[source.table]}"
        ids = ", ".join(self.constant(key) for _ in range(rng.randrange(1, 9)))
        tests = [self.region(source.alias), f"{key} IN ({ids})"]
        where = " AND ".join(rng.choice((tests, tests[:1], tests[1:])))
        return self.made(f"SELECT {items} FROM sky.{source.table} AS {source.alias} WHERE {where}")

    def distinct(self) -> Generated:
        source = self.joined()
        items = [self.rng.choice((lambda: self.column(DYADIC), self.word))() for _ in range(self.rng.randrange(1, 3))]
        named = ", ".join(f"{item} AS c{number}" for number, item in enumerate(items))
        return self.made(f"SELECT DISTINCT {named} FROM {source} WHERE {self.condition()}")

    def groups(self) -> Generated:
        rng, source = self.rng, self.joined()
        where = f" WHERE {self.condition()}" if rng.random() < 0.8 else ""
        named = [name for name in ("COUNT", "SUM", "AVG", "MIN", "MAX") for _ in range(2)]
        totals = ["COUNT(*)"] + [f"{rng.choice(named)}({self.column(DYADIC)})" for _ in range(rng.randrange(1, 4))]
        if rng.random() < 0.2:
            totals.append(f"COUNT(DISTINCT {self.column(DYADIC)})")
        if rng.random() < 0.2:
            totals.append(f"SUM(CASE WHEN {self.condition(0)} THEN 1 ELSE 0 END)")
        if rng.random() < 0.2:
            totals.append(f"MIN({self.column(TEXTS)})")
        keys = [
            rng.choice((lambda: self.column(DYADIC), lambda: f"FLOOR({self.column(DYADIC)})", self.word))()
            for _ in range(rng.choice((0, 1, 1, 2)))
        ]
        items = ", ".join(f"{item} AS c{number}" for number, item in enumerate([*keys, *totals]))
        group = f" GROUP BY {', '.join(keys)}" if keys else ""
        if keys and rng.random() < 0.3:
            group += f" HAVING COUNT(*) > {rng.randrange(0, 4)}"
        return self.made(f"SELECT {items} FROM {source}{where}{group}")

    def sets(self) -> Generated:
        rng, parts = self.rng, []
        for _ in range(rng.choice((2, 2, 3))):
            source = self.source()
            self.sources = [source]
            number = self.column(DYADIC)
            where = self.condition(1)
            items = f"{number} AS x, {self.column(TEXTS)} AS y"
            parts.append(f"SELECT {items} FROM sky.{source.table} AS {source.alias} WHERE {where}")
        words = ("UNION", "UNION ALL") if self.is_qserv else ("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL")
        text = parts[0]
        for part in parts[1:]:
            text = f"{text} {rng.choice(words)} {part}"
        return self.made(text)

    def derived(self) -> Generated:
        rng = self.rng
        items, rest = self.plain()
        named = ", ".join(f"{item} AS c{number}" for number, item in enumerate(items))
        inner = f"SELECT {named} {rest}"
        other = self.source()
        key = "visit" if other.table == "Visit" else "id"
        self.sources = [other]
        condition = self.condition(1)
        outer = (
            f"JOIN sky.{other.table} AS {other.alias} ON {other.alias}.{key} = d.c0 WHERE {condition}"
            if rng.random() < 0.5
            else "WHERE d.c0 IS NOT NULL"
        )
        if not self.is_qserv and rng.random() < 0.4:
            return self.made(f"WITH w AS ({inner}) SELECT d.c0 AS k, COUNT(*) AS n FROM w AS d {outer} GROUP BY d.c0")
        return self.made(f"SELECT d.c0 AS k FROM ({inner}) AS d {outer}")

    def nearest(self) -> Generated:
        """Return a query for the nearest neighbours of rows, as people write it."""
        rng = self.rng
        one, other = (self.source(table) for table in rng.choice((("Object", "Object"), PLACED, PLACED[::-1])))
        a, b, key, other_key = one.alias, other.alias, KEYS[one.table], KEYS[other.table]
        apart = f"DISTANCE(POINT({a}.ra, {a}.dec), POINT({b}.ra, {b}.dec))"
        near = f"{apart} < {rng.choice((0.002, 0.05, 0.5, 2))}"
        near += f" AND {a}.{key} <> {b}.{other_key}" if rng.random() < 0.7 else ""
        where = f"({self.inside([one], lambda: self.condition(1))})" if rng.random() < 0.5 else "1 = 1"
        which = f"({self.inside([other], lambda: self.condition(0))})" if rng.random() < 0.5 else "1 = 1"
        outside, inside = f"sky.{one.table} AS {a}", f"sky.{other.table} AS {b}"
        if rng.random() < 0.3:
            inside = f"(SELECT * FROM {inside} WHERE {which}) AS {b}"
            which = "1 = 1"
        pairs = f"FROM {outside} {rng.choice(('JOIN', 'JOIN', 'LEFT JOIN'))} {inside} ON {near} AND {which}"
        value = self.inside([other], lambda: self.column(DYADIC))
        ranked = (
            f"SELECT {a}.{key} AS k, {b}.{other_key} AS o, {value} AS v, ROW_NUMBER() OVER (PARTITION BY {a}.{key} "
            f"ORDER BY {apart}, {b}.{other_key}) AS place {pairs} WHERE {where}"
        )
        grouped = f"SELECT {a}.{key} AS k, MIN({apart}) AS d, {rng.choice(VALUES).format(value)} AS v {pairs}"
        grouped += f" WHERE {where} GROUP BY {a}.{key}"
        parent = f"sky.{one.table} AS p ON p.{key} = q.k JOIN sky.Object AS o ON o.id = p.id"
        asked = f"FROM {inside} WHERE {near} AND {which}"
        count = f"SELECT COUNT(*) {asked}"
        forms = [
            f"SELECT q.k AS c0, q.o AS c1, q.v AS c2 FROM ({ranked}) AS q WHERE q.place <= {rng.choice((1, 1, 2))}",
            f"WITH q AS ({ranked}) SELECT q.v AS c0, COUNT(*) AS c1 FROM q WHERE q.place = 1 GROUP BY q.v",
            grouped,
            f"SELECT COUNT(*) AS c0, SUM(q.v) AS c1 FROM ({grouped}) AS q WHERE q.d > 0.001",
            f"SELECT q.v AS c0, o.n AS c1 FROM ({grouped}) AS q JOIN {parent}",
            f"SELECT {a}.{key} AS c0, (SELECT MIN({apart}) {asked}) AS c1 FROM {outside} WHERE {where}",
            f"SELECT {a}.{key} AS c0 FROM {outside} WHERE NOT EXISTS (SELECT 1 {asked}) AND {where}",
            f"SELECT COUNT(*) AS c0, MIN({a}.{key}) AS c1 FROM {outside} WHERE 1 < ({count}) AND {where}",
        ]
        return self.made(rng.choice(forms))

    def area(self) -> Generated:
        """Return a query with an area of Qserv."""
        rng = self.rng
        items, rest = self.plain()
        ra, dec = rng.choice(SPOTS)
        if not any(one.table in PLACED for one in self.sources) or any(word in rest for word in ("LEFT", "RIGHT")):
            return self.made(f"SELECT {', '.join(items)} {rest}")
        areas = [f"qserv_areaspec_circle({ra}, {dec}, {rng.choice((0.5, 5, 20))})"]
        if abs(dec) < 60:
            areas.append(f"qserv_areaspec_box({ra}, {dec - 3}, {ra + 5}, {dec + 3})" if ra < 350 else areas[0])
        source, _, where = rest.partition(" WHERE ")
        condition = f" AND ({where})" if where else ""
        named = ", ".join(f"{item} AS c{number}" for number, item in enumerate(items))
        return self.made(f"SELECT {named} {source} WHERE {rng.choice(areas)}{condition}")

    def made(self, text: str, *, is_ordered: bool = False) -> Generated:
        return Generated(text, self.is_qserv, is_ordered)


def generate(seed: int) -> Generated:
    """Return the query number `seed`: always the same."""
    rng = random.Random(seed)
    writer = _Writer(rng, is_qserv=rng.random() < 0.35)
    forms = [writer.rows] * 5 + [writer.groups] * 4 + [writer.sets, writer.derived, writer.distinct, writer.stored_rows]
    forms += [writer.area] * 3 if writer.is_qserv else [writer.nearest] * 3
    return rng.choice(forms)()
