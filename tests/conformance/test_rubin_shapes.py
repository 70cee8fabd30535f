# ruff: noqa: E501, ISC004, PLW0108 - one row of a table per construct
"""Every construct that users of Qserv and of the Rubin TAP write, through pyvo: answers equal those made in pandas.

One row of a table per construct: what it shows, the text, and the answer as computed from the input files alone.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import pyvo

from tests.harness import SampleStore

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")

Frame = pd.DataFrame
RA, DEC = 62.0, -37.0


def separation_deg(lon: Any, lat: Any, other_lon: Any, other_lat: Any) -> Any:
    """Return separations by the haversine formula."""
    a, b, c, d = (np.radians(one) for one in (lon, lat, other_lon, other_lat))
    half = np.sin((d - b) / 2) ** 2 + np.cos(b) * np.cos(d) * np.sin((c - a) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(half)))


@dataclass(frozen=True)
class Sky:
    """The input tables."""

    directory: Path

    def _read(self, table: str, columns: list[str] | None = None) -> Frame:
        return pq.read_table(self.directory / table, columns=columns).to_pandas()

    @cached_property
    def objects(self) -> Frame:
        frame = self._read("Object")
        return frame[np.isfinite(frame.coord_ra) & np.isfinite(frame.coord_dec)].reset_index(drop=True)

    @cached_property
    def forced(self) -> Frame:
        return self._read("ForcedSource", ["objectId", "visit", "band", "psfFlux", "psfFlux_flag"])

    @cached_property
    def light(self) -> Frame:
        """The forced sources of the objects near the middle."""
        return self.forced[self.forced.objectId.isin(self.some.objectId)]

    @cached_property
    def sources(self) -> Frame:
        return self._read("Source", ["sourceId", "visit", "detector", "band", "psfFlux", "extendedness"])

    @cached_property
    def visits(self) -> Frame:
        return self._read("Visit")

    @cached_property
    def dia_objects(self) -> Frame:
        return self._read("DiaObject")

    @cached_property
    def dia_sources(self) -> Frame:
        return self._read("DiaSource")

    @cached_property
    def truth(self) -> Frame:
        return self._read("TruthSummary")

    @cached_property
    def matches(self) -> Frame:
        return self._read("MatchesTruth")

    def near(self, radius_deg: float, ra: float = RA, dec: float = DEC) -> Frame:
        return self.objects[separation_deg(self.objects.coord_ra, self.objects.coord_dec, ra, dec) <= radius_deg]

    @cached_property
    def some(self) -> Frame:
        """A few dozen objects around the middle."""
        return self.near(0.03)

    @cached_property
    def ids(self) -> list[int]:
        return [int(one) for one in self.some.objectId[:3]]

    @cached_property
    def pairs(self) -> Frame:
        """Pairs of different objects near the middle, with their separation."""
        frame = self.near(0.02)[["objectId", "coord_ra", "coord_dec"]]
        both = frame.merge(frame, how="cross", suffixes=("_a", "_b"))
        both["d"] = separation_deg(both.coord_ra_a, both.coord_dec_a, both.coord_ra_b, both.coord_dec_b)
        return both[both.objectId_a != both.objectId_b]


Expected = Callable[[Sky], Any]
Case = tuple[str, str, Expected]


def count(condition: Callable[[Frame], Any]) -> Expected:
    """Return the number of objects near the middle that meet a condition."""
    return lambda sky: [(int(condition(sky.some).sum()),)]


def ab(flux: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(flux > 0, -2.5 * np.log10(np.asarray(flux, float)) + 31.4, np.nan)


AREA = f"qserv_areaspec_circle({RA}, {DEC}, 0.03)"
N = f"SELECT COUNT(*) FROM survey.Object WHERE {AREA} AND"
CONE = f"CONTAINS(POINT('ICRS', coord_ra, coord_dec), CIRCLE('ICRS', {RA}, {DEC}, 0.03)) = 1"
CHOSEN = f"FROM survey.Object WHERE {AREA}"

QSERV: list[Case] = [
    # --- statements, select lists ---
    ("star", f"SELECT * {CHOSEN} AND g_psfMag < 21;", lambda sky: sky.some[sky.some.g_psfMag < 21]),
    ("t.*", "SELECT v.* FROM survey.Visit AS v WHERE v.band = 'r'", lambda sky: sky.visits[sky.visits.band == "r"]),
    ("alias", f"SELECT objectId AS id, coord_ra - 62 'x' {CHOSEN}",
     lambda sky: sky.some.assign(x=sky.some.coord_ra - 62)[["objectId", "x"]]),
    ("DISTINCT", f"SELECT DISTINCT refBand {CHOSEN}", lambda sky: sky.some[["refBand"]].drop_duplicates()),
    ("comma join", f"SELECT o.objectId, f.visit FROM survey.Object o, survey.ForcedSource f WHERE {AREA} "
     "AND o.objectId = f.objectId AND f.band = 'i'", lambda sky: _light(sky)[lambda one: one.band == "i"][["objectId", "visit"]]),
    ("JOIN ON", f"SELECT f.objectId, v.visit, v.airmass FROM survey.ForcedSource f JOIN survey.Visit v ON f.visit = v.visit "
     f"WHERE {AREA} AND v.airmass > 1.45", lambda sky: _visited(sky)[lambda one: one.airmass > 1.45][["objectId", "visit", "airmass"]]),
    ("JOIN USING", f"SELECT f.objectId, v.visit FROM survey.ForcedSource f JOIN survey.Visit v USING (visit) WHERE {AREA} AND v.visit % 9 = 1",
     lambda sky: _visited(sky)[lambda one: one.visit % 9 == 1][["objectId", "visit"]]),
    ("backticks, case, blanks", f"select `survey`.`Object`.`OBJECTID`, Count ( * ) as N from SURVEY.object "
     f"where QSERV_areaspec_Circle ({RA}, {DEC}, 0.03) group by objectid",
     lambda sky: sky.some.assign(n=1)[["objectId", "n"]]),
    ("database left out", "SELECT COUNT(*) FROM Visit", lambda sky: [(len(sky.visits),)]),
    ("comments", f"SELECT COUNT(*) # one\n{CHOSEN} /* two */ -- three", lambda sky: [(len(sky.some),)]),
    ("texts in double quotes, escapes", r"""SELECT "it's", 'it\'s', "a\"b" """, lambda _: [("it's", "it's", 'a"b')]),
    # --- predicates ---
    *[(f"{op}", f"{N} deblend_nChild {op} 0", count(test)) for op, test in {
        "=": lambda o: o.deblend_nChild == 0, "<>": lambda o: o.deblend_nChild != 0, "!=": lambda o: o.deblend_nChild != 0,
        ">=": lambda o: o.deblend_nChild >= 0, "<=>": lambda o: o.deblend_nChild == 0}.items()],
    ("<=> NULL", f"{N} refBand <=> NULL", count(lambda o: o.refBand.isna())),
    ("BETWEEN", f"{N} i_psfMag BETWEEN 20 AND 22.5", count(lambda o: o.i_psfMag.between(20, 22.5))),
    ("NOT BETWEEN", f"{N} i_psfMag NOT BETWEEN 20 AND 22.5", count(lambda o: (o.i_psfMag < 20) | (o.i_psfMag > 22.5))),
    ("IN", f"{N} refBand IN ('i', 'R')", count(lambda o: o.refBand.isin(["i", "r"]))),
    ("NOT IN", f"{N} refBand NOT IN ('i', 'r')", count(lambda o: ~o.refBand.isin(["i", "r"]) & o.refBand.notna())),
    ("LIKE", "SELECT visit FROM survey.Visit WHERE physical_filter LIKE 'R%'",
     lambda sky: sky.visits[sky.visits.physical_filter.str.lower().str.startswith("r")][["visit"]]),
    ("NOT LIKE", "SELECT COUNT(*) FROM survey.Visit WHERE band NOT LIKE 'R'", lambda sky: [(int((sky.visits.band != "r").sum()),)]),
    ("IS NULL", f"{N} u_psfMag IS NULL", count(lambda o: o.u_psfMag.isna())),
    ("IS NOT NULL", f"{N} u_psfMag IS NOT NULL", count(lambda o: o.u_psfMag.notna())),
    ("&& || NOT", f"{N} (NOT detect_isPrimary || i_psfMag < 22) && g_psfMag < 24",
     count(lambda o: (~o.detect_isPrimary | (o.i_psfMag < 22)) & (o.g_psfMag < 24))),
    ("XOR, !", f"{N} (detect_isPrimary XOR !(deblend_nChild))",
     count(lambda o: o.detect_isPrimary != (o.deblend_nChild == 0))),
    ("bare function", f"{N} FLOOR(i_psfMag - 22) AND MOD(objectId, 2) = 1",
     count(lambda o: (np.floor(o.i_psfMag - 22) != 0) & o.i_psfMag.notna() & (o.objectId % 2 == 1))),
    # --- arithmetic and functions ---
    ("column arithmetic", f"{N} g_psfFlux / g_psfFluxErr > 2 * r_psfFlux / r_psfFluxErr",
     count(lambda o: o.g_psfFlux.astype(float) / o.g_psfFluxErr > 2 * o.r_psfFlux.astype(float) / o.r_psfFluxErr)),
    ("DIV % MOD", f"SELECT objectId DIV 1000, objectId % 1000, objectId MOD 7, MOD(objectId, 7) {CHOSEN}",
     lambda sky: [(i // 1000, i % 1000, i % 7, i % 7) for i in map(int, sky.some.objectId)]),
    ("bits", f"SELECT objectId & 255, objectId | 1, (objectId & 15) ^ 5, (objectId & 7) << 3, objectId >> 40 {CHOSEN}",
     lambda sky: [(i & 255, i | 1, (i & 15) ^ 5, (i & 7) << 3, i >> 40) for i in map(int, sky.some.objectId)]),
    ("maths", f"SELECT SQRT(i_psfFlux), LOG10(i_psfFlux), POW(ebv, 2), SIN(RADIANS(coord_dec)) {CHOSEN} AND i_psfFlux > 0",
     lambda sky: [(math.sqrt(f), math.log10(f), e**2, math.sin(math.radians(d))) for f, e, d in
                  sky.some[sky.some.i_psfFlux > 0][["i_psfFlux", "ebv", "coord_dec"]].astype(float).to_numpy()]),
    ("five aggregates", f"SELECT COUNT(i_psfMag), MIN(i_psfMag), MAX(i_psfMag), SUM(i_psfFlux), AVG(i_psfFlux) {CHOSEN}",
     lambda sky: [(int(sky.some.i_psfMag.count()), sky.some.i_psfMag.min(), sky.some.i_psfMag.max(),
                   sky.some.i_psfFlux.astype(float).sum(), sky.some.i_psfFlux.astype(float).mean())]),
    ("GROUP BY several, HAVING alias, ORDER BY alias", "SELECT band, detector, COUNT(*) AS n, AVG(psfFlux) AS f FROM survey.Source "
     "GROUP BY band, detector HAVING n > 1500 ORDER BY n DESC, f",
     lambda sky: sky.sources.groupby(["band", "detector"], as_index=False).agg(n=("visit", "size"), f=("psfFlux", "mean"))
     .query("n > 1500").sort_values(["n", "f"], ascending=[False, True])),
    ("LIMIT", "SELECT visit FROM survey.Visit ORDER BY visit LIMIT 5", lambda sky: sky.visits[["visit"]].sort_values("visit")[:5]),
    # --- what Qserv refuses ---
    ("subquery in FROM, aliases", f"SELECT AVG(q.c) FROM (SELECT g_psfMag - r_psfMag AS c {CHOSEN}) q WHERE q.c < 3",
     lambda sky: [(float((c := (sky.some.g_psfMag.astype(float) - sky.some.r_psfMag))[c < 3].mean()),)]),
    ("EXISTS", "SELECT COUNT(*) FROM survey.Visit v WHERE EXISTS (SELECT 1 FROM survey.ForcedSource f WHERE f.visit = v.visit "
     "AND f.psfFlux > 50000)", lambda sky: [(sky.forced[sky.forced.psfFlux > 50000].visit.nunique(),)]),
    ("IN (SELECT)", f"SELECT COUNT(*) FROM survey.ForcedSource WHERE objectId IN (SELECT objectId {CHOSEN} AND i_psfMag < 22)",
     lambda sky: [(len(_light(sky)[_light(sky).objectId.isin(sky.some[sky.some.i_psfMag < 22].objectId)]),)]),
    ("scalar subquery", "SELECT visit FROM survey.Visit WHERE airmass = (SELECT MAX(airmass) FROM survey.Visit)",
     lambda sky: sky.visits[sky.visits.airmass == sky.visits.airmass.max()][["visit"]]),
    ("UNION", "SELECT band FROM survey.Visit UNION SELECT 'R' UNION SELECT 'w' ORDER BY band",
     lambda sky: [(one,) for one in sorted({*sky.visits.band, "R", "w"} - {"r"}, key=str.lower)]),
    ("UNION ALL", "(SELECT visit FROM survey.Visit ORDER BY visit LIMIT 2) UNION ALL (SELECT visit FROM survey.Visit ORDER BY visit LIMIT 1)",
     lambda sky: [(int(v),) for v in sorted(sky.visits.visit)[:2] + sorted(sky.visits.visit)[:1]]),
    ("WITH", f"WITH c AS (SELECT refBand AS b, COUNT(*) AS n {CHOSEN} GROUP BY refBand) SELECT MAX(n) FROM c",
     lambda sky: [(int(sky.some.groupby("refBand", dropna=False).size().max()),)]),
    ("nested joins", f"SELECT COUNT(*) FROM survey.Object o JOIN (survey.ForcedSource f JOIN survey.Visit v ON f.visit = v.visit) "
     f"ON o.objectId = f.objectId WHERE {AREA}", lambda sky: [(len(_visited(sky)),)]),
    ("LEFT JOIN", f"SELECT o.objectId, COUNT(f.visit) FROM survey.Object o LEFT JOIN survey.ForcedSource f "
     f"ON o.objectId = f.objectId AND f.psfFlux > 5000 WHERE {AREA} GROUP BY o.objectId",
     lambda sky: [(int(i), int(((f := _light(sky)).objectId.eq(i) & (f.psfFlux > 5000)).sum())) for i in sky.some.objectId]),
    ("NATURAL LEFT JOIN", "SELECT COUNT(*) FROM survey.DiaObject NATURAL LEFT JOIN (SELECT diaObjectId FROM survey.DiaSource WHERE snr > 20) s",
     lambda sky: (s := sky.dia_sources[sky.dia_sources.snr > 20]) is not None
     and [(len(sky.dia_objects.merge(s, on="diaObjectId", how="left")),)]),
    ("USING of two columns", f"SELECT COUNT(*) FROM survey.ForcedSource a JOIN survey.ForcedSource b USING (objectId, visit) WHERE {AREA}",
     lambda sky: [(len(_light(sky).merge(_light(sky), on=["objectId", "visit"])),)]),
    ("STRAIGHT_JOIN, USE INDEX", f"SELECT COUNT(*) FROM survey.Object o USE INDEX (a) STRAIGHT_JOIN survey.ForcedSource f "
     f"ON o.objectId = f.objectId WHERE {AREA}", lambda sky: [(len(_light(sky)),)]),
    ("CASE, IF", f"SELECT objectId, CASE WHEN i_psfMag < 22 THEN 'b' ELSE 'f' END, IF(detect_isPrimary, 1, 0) {CHOSEN}",
     lambda sky: [(int(i), "b" if m < 22 else "f", int(p)) for i, m, p in
                  zip(sky.some.objectId, sky.some.i_psfMag, sky.some.detect_isPrimary, strict=True)]),
    ("unary, IS TRUE", f"{N} -coord_dec > 37 AND detect_isPrimary IS TRUE", count(lambda o: (o.coord_dec < -37) & o.detect_isPrimary)),
    ("LIKE ESCAPE, REGEXP", "SELECT COUNT(*) FROM survey.Visit WHERE physical_filter LIKE '%|_%' ESCAPE '|' OR band REGEXP '^[GR]$'",
     lambda sky: [(int((sky.visits.physical_filter.str.contains("_") | sky.visits.band.isin(["g", "r"])).sum()),)]),
    ("TRUE, hexadecimal", f"{N} detect_isPrimary = TRUE AND objectId & 0x1 = 1", count(lambda o: o.detect_isPrimary & (o.objectId % 2 == 1))),
    ("COLLATE", "SELECT COUNT(*) FROM survey.Visit WHERE band COLLATE latin1_bin = 'R'", lambda _: [(0,)]),
    ("CAST, CONVERT, EXTRACT, POSITION", "SELECT CAST(airmass AS SIGNED), CONVERT(airmass, CHAR(3)), EXTRACT(YEAR FROM obsStart), "
     "POSITION('r' IN band) FROM survey.Visit",
     lambda sky: [(round(a), str(a)[:3], t.year, int(b == "r")) for a, t, b in
                  zip(sky.visits.airmass, sky.visits.obsStart, sky.visits.band, strict=True)]),
    ("identifiers that begin with _", "SELECT _v.visit AS _a FROM survey.Visit _v", lambda sky: sky.visits[["visit"]]),
    ("DISTINCT in aggregates", f"SELECT COUNT(DISTINCT refBand), COUNT(DISTINCT tract, patch) {CHOSEN}",
     lambda sky: [(sky.some.refBand.nunique(), len(sky.some[["tract", "patch"]].drop_duplicates()))]),
    ("STD, VARIANCE", f"SELECT STD(i_psfMag), STDDEV_SAMP(i_psfMag), VARIANCE(i_psfMag) {CHOSEN}",
     lambda sky: [((m := sky.some.i_psfMag.astype(float)).std(ddof=0), m.std(), m.var(ddof=0))]),
    ("GROUP_CONCAT, BIT_OR", "SELECT GROUP_CONCAT(DISTINCT band ORDER BY band SEPARATOR '|'), BIT_OR(visit & 3) FROM survey.Visit",
     lambda sky: [("|".join(sorted(set(sky.visits.band))), int(np.bitwise_or.reduce(sky.visits.visit & 3)))]),
    ("dates", "SELECT visit, DATE_ADD(obsStart, INTERVAL 1 DAY), DATE_FORMAT(obsStart, '%Y/%m/%d %H:%i') FROM survey.Visit "
     "WHERE NOW() > '2020-01-01' AND DAY(obsStart) > 10",
     lambda sky: [(int(v), t + pd.Timedelta(days=1), t.strftime("%Y/%m/%d %H:%M")) for v, t in
                  zip(sky.visits.visit, sky.visits.obsStart, strict=True) if t.day > 10]),
    ("texts", "SELECT SUBSTRING(physical_filter, 1, 1), MID(band, 1, 1), TRIM(BOTH 'r' FROM band), REPLACE(band, 'g', 'G'), "
     "INSERT(band, 1, 1, 'x'), ASCII(band) FROM survey.Visit",
     lambda sky: [(p[0], b, b.strip("r"), b.replace("g", "G"), "x", ord(b)) for p, b in
                  zip(sky.visits.physical_filter, sky.visits.band, strict=True)]),
    ("OFFSET, expressions in ORDER BY", "SELECT visit FROM survey.Visit ORDER BY ABS(airmass - 1.3), visit LIMIT 4 OFFSET 3",
     lambda sky: sky.visits.assign(k=(sky.visits.airmass - 1.3).abs()).sort_values(["k", "visit"])[["visit"]][3:7]),
    ("repeated columns", "SELECT visit, v.visit, band FROM survey.Visit v", lambda sky: sky.visits.assign(w=sky.visits.visit)[["visit", "w", "band"]]),
    # --- areas ---
    ("areaspec_box = 1", f"SELECT objectId FROM survey.Object WHERE qserv_areaspec_box({RA - 0.02}, {DEC - 0.02}, {RA + 0.03}, {DEC + 0.01}) = 1",
     lambda sky: sky.objects[sky.objects.coord_ra.between(RA - 0.02, RA + 0.03) & sky.objects.coord_dec.between(DEC - 0.02, DEC + 0.01)][["objectId"]]),
    ("OR of areas", f"SELECT objectId FROM survey.Object WHERE qserv_areaspec_circle({RA}, {DEC}, 0.01) OR qserv_areaspec_circle(62.2, -37.1, 0.02)",
     lambda sky: pd.concat([sky.near(0.01), sky.near(0.02, 62.2, -37.1)])[["objectId"]]),
    ("two areas", f"SELECT objectId FROM survey.Object WHERE {AREA} AND qserv_areaspec_circle(62.02, -37.0, 0.03)",
     lambda sky: sky.some[sky.some.objectId.isin(sky.near(0.03, 62.02).objectId)][["objectId"]]),
    ("area in a nested condition", f"SELECT objectId FROM survey.Object WHERE i_psfMag < 19 AND (NOT {AREA} OR i_psfMag < 18)",
     lambda sky: sky.objects[(sky.objects.i_psfMag < 18) | ((sky.objects.i_psfMag < 19) & ~sky.objects.objectId.isin(sky.some.objectId))][["objectId"]]),
    ("ra BETWEEN", "SELECT COUNT(*) FROM survey.Object WHERE coord_ra BETWEEN 61.98 AND 62.02 AND coord_dec BETWEEN -37.02 AND -36.98",
     lambda sky: [(int((sky.objects.coord_ra.between(61.98, 62.02) & sky.objects.coord_dec.between(-37.02, -36.98)).sum()),)]),
    ("near neighbours with self-pairs", f"SELECT COUNT(*) FROM survey.Object o1, survey.Object o2 WHERE qserv_areaspec_circle({RA}, {DEC}, 0.02) "
     "AND scisql_angSep(o1.coord_ra, o1.coord_dec, o2.coord_ra, o2.coord_dec) < 0.003",
     lambda sky: [(int((sky.pairs.d < 0.003).sum()) + len(sky.near(0.02)),)]),
    # --- scisql ---
    ("photometry", f"SELECT objectId, scisql_nanojanskyToAbMag(g_psfFlux), scisql_nanojanskyToAbMagSigma(g_psfFlux, g_psfFluxErr), "
     f"scisql_abMagToNanojansky(g_psfMag), scisql_fluxToAbMag(g_psfFlux * 1e-32) {CHOSEN} AND g_psfFlux > 0",
     lambda sky: [(int(i), *ab(np.array([f])), 2.5 / math.log(10) * e / f, 10 ** (-0.4 * (m - 31.4)), -2.5 * math.log10(f * 1e-32) - 48.6)
                  for i, f, e, m in zip(*(sky.some[sky.some.g_psfFlux > 0][c].tolist() for c in ("objectId", "g_psfFlux", "g_psfFluxErr", "g_psfMag")),
                                             strict=True)]),
    ("zero point, NULLs", "SELECT scisql_nanojanskyToAbMag(1000), scisql_nanojanskyToAbMag(0), scisql_nanojanskyToAbMag(NULL), scisql_nanojanskyToAbMagSigma(1000, -1)",
     lambda _: [(23.9, None, None, None)]),
    ("scisql_median, percentile", f"SELECT scisql_median(i_psfMag), scisql_percentile(i_psfMag, 90) {CHOSEN}",
     lambda sky: [(float(sky.some.i_psfMag.astype(float).median()), float(sky.some.i_psfMag.astype(float).quantile(0.9)))]),
    ("s2PtInCircle: NULL gives 0", "SELECT scisql_s2PtInCircle(NULL, 1, 2, 3, 4), scisql_s2PtInCircle(1, 1, q.x, 3, 4) "
     "FROM (SELECT NULL AS x) q", lambda _: [(0, 0)]),
    ("s2PtInBox wraps", "SELECT scisql_s2PtInBox(355, 0, 350, -1, 10, 1), scisql_s2PtInBox(20, 0, 350, -1, 10, 1), scisql_s2PtInBox(1, 0, 0, 1, 2, -1)",
     lambda _: [(1, 0, 0)]),
    ("s2PtInEllipse, CPoly", "SELECT scisql_s2PtInEllipse(1, 1.01, 1, 1, 60, 30, 0), scisql_s2PtInEllipse(1.01, 1, 1, 1, 60, 30, 0), "
     "scisql_s2PtInCPoly(1, 1, 0, 0, 2, 0, 1, 3), scisql_s2PtInCPoly(5, 1, 0, 0, 2, 0, 1, 3)", lambda _: [(1, 0, 1, 0)]),
    # --- MySQL's meaning ---
    ("division", "SELECT 7 / 2, -7.5 DIV 2, 7 DIV 0, 7 % 0, MOD(7, 0), 7 / 0", lambda _: [(3.5, -3, None, None, None, None)]),
    ("out of range", "SELECT SQRT(-1), LN(0), LOG10(-1), ASIN(2)", lambda _: [(None,) * 4]),
    ("texts ignore case", "SELECT COUNT(*) FROM survey.Visit WHERE band = 'R ' OR band IN ('G')", lambda sky: [(int(sky.visits.band.isin(["r", "g"]).sum()),)]),
    ("numbers LIKE, in quotes", "SELECT COUNT(*) FROM survey.Visit WHERE visit LIKE '%1' OR visit = '3'",
     lambda sky: [(int((sky.visits.visit.astype(str).str.endswith("1") | (sky.visits.visit == 3)).sum()),)]),
    ("64-bit arithmetic", "SELECT 30000 * 1000, 2147483647 + 1, ~5 & 7, -1 >> 1", lambda _: [(30_000_000, 2_147_483_648, 2, 2**63 - 1)]),
    ("FLOAT as double", f"{N} (refExtendedness = 0.5 OR ebv > 0.02)", count(lambda o: (o.refExtendedness.astype(float) == 0.5) | (o.ebv.astype(float) > 0.02))),
    ("NULL first", f"SELECT u_psfMag {CHOSEN} ORDER BY u_psfMag LIMIT 1", lambda sky: [(None,)] if sky.some.u_psfMag.isna().any() else None),
    ("GREATEST, LOG, ROUND", "SELECT GREATEST(1, NULL), LOG(8), LOG(2, 8), ROUND(2.5e0), LEAST('b', 'A')", lambda _: [(None, math.log(8), 3.0, 2, "A")]),
    ("conditions as values", "SELECT 1 = 1, TRUE, NULL OR TRUE, 2 > NULL", lambda _: [(1, 1, 1, None)]),
    ("LIMIT a, b", "SELECT visit FROM survey.Visit ORDER BY visit LIMIT 3, 2", lambda sky: sky.visits[["visit"]].sort_values("visit")[3:5]),
    ("chunkId", "SELECT SUM(n), MIN(qserv_trans_id) FROM (SELECT chunkId, subChunkId, qserv_trans_id, COUNT(*) AS n FROM survey.Object "
     "GROUP BY chunkId, subChunkId, qserv_trans_id) c", lambda sky: [(len(sky.objects), 0)]),
    # --- laxness ---
    ("columns outside GROUP BY", "SELECT v.visit, v.band, v.expMidptMJD, COUNT(*) FROM survey.Visit v JOIN survey.Source s ON s.visit = v.visit GROUP BY v.visit",
     lambda sky: sky.visits.merge(sky.sources.groupby("visit").size().rename("n"), on="visit")[["visit", "band", "expMidptMJD", "n"]]),
    ("flags as numbers", f"{N} detect_isPrimary = 1 AND g_psfFlux_flag < 0.5 AND NOT i_psfFlux_flag",
     count(lambda o: o.detect_isPrimary & ~o.g_psfFlux_flag & ~o.i_psfFlux_flag)),
]  # fmt: skip


def _light(sky: Sky) -> Frame:
    return sky.light


def _visited(sky: Sky) -> Frame:
    return _light(sky)[["objectId", "visit", "psfFlux"]].merge(sky.visits, on="visit")


ADQL: list[Case] = [
    ("what is at this position", f"SELECT objectId, coord_ra, coord_dec, i_psfMag FROM survey.Object WHERE "
     f"CONTAINS(POINT('ICRS', coord_ra, coord_dec), CIRCLE('ICRS', {RA}, {DEC}, 0.002)) = 1",
     lambda sky: sky.near(0.002)[["objectId", "coord_ra", "coord_dec", "i_psfMag"]]),
    ("colour-magnitude diagram", f"SELECT g_psfMag - i_psfMag AS g_i, i_psfMag FROM survey.Object WHERE {CONE} AND "
     "refExtendedness = 0 AND g_psfFlux/g_psfFluxErr > 5 AND i_psfFlux/i_psfFluxErr > 5",
     lambda sky: _colours(sky)),
    ("cone with cuts and flags", f"SELECT objectId FROM survey.Object WHERE {CONE} AND detect_isPrimary = 1 AND r_psfFlux_flag = 0 "
     "AND r_psfMag BETWEEN 18 AND 25 AND (refExtendedness = 1 OR i_psfMag < 24)",
     lambda sky: (o := sky.some)[o.detect_isPrimary & ~o.r_psfFlux_flag & o.r_psfMag.between(18, 25)
                                 & ((o.refExtendedness == 1) | (o.i_psfMag < 24))][["objectId"]]),
    ("TAP_SCHEMA", "SELECT column_name, datatype, unit FROM tap_schema.columns WHERE table_name = 'survey.Object' AND column_name LIKE '%psfMag' ",
     lambda _: [(f"{b}_psfMag", "float", "mag") for b in "ugrizy"]),
    ("light curve", "SELECT v.expMidptMJD, f.band, f.psfFlux, scisql_nanojanskyToAbMag(f.psfFlux) AS mag FROM survey.ForcedSource AS f "
     "JOIN survey.Visit AS v ON f.visit = v.visit WHERE f.objectId = {id} ORDER BY v.expMidptMJD",
     lambda sky: (c := sky.forced[sky.forced.objectId == sky.ids[0]].merge(sky.visits[["visit", "expMidptMJD"]], on="visit")
                  .sort_values("expMidptMJD")).assign(mag=ab(c.psfFlux.to_numpy()))[["expMidptMJD", "band", "psfFlux", "mag"]]),
    ("list of ids", "SELECT objectId, r_cModelMag FROM survey.Object WHERE objectId IN ({ids})",
     lambda sky: sky.objects[sky.objects.objectId.isin(sky.ids)][["objectId", "r_cModelMag"]]),
    ("DiaObject, then its sources", "SELECT d.diaObjectId, s.diaSourceId, s.snr FROM survey.DiaObject AS d JOIN survey.DiaSource AS s "
     "ON s.diaObjectId = d.diaObjectId WHERE d.nDiaSources > 8",
     lambda sky: sky.dia_objects[sky.dia_objects.nDiaSources > 8].merge(sky.dia_sources, on="diaObjectId")[["diaObjectId", "diaSourceId", "snr"]]),
    ("visits over a position", f"SELECT band, COUNT(*) AS n, AVG(airmass) FROM survey.Visit WHERE "
     f"CONTAINS(POINT('ICRS', {RA}, {DEC}), CIRCLE('ICRS', ra, dec, 2)) = 1 GROUP BY band",
     lambda sky: (v := sky.visits)[separation_deg(v.ra, v.dec, RA, DEC) <= 2].groupby("band", as_index=False)
     .agg(n=("visit", "size"), a=("airmass", "mean"))),
    ("field statistics", f"SELECT COUNT(*), MIN(r_psfMag), MAX(r_psfMag), AVG(r_psfMag) FROM survey.Object WHERE {CONE}",
     lambda sky: [(len(sky.some), (m := sky.some.r_psfMag.astype(float)).min(), m.max(), m.mean())]),
    ("red sequence", f"SELECT objectId, r_cModelMag - i_cModelMag AS r_i FROM survey.Object WHERE {CONE} AND i_cModelMag < 23 "
     "AND r_cModelMag - i_cModelMag BETWEEN 0.2 AND 0.9", lambda sky: _red(sky)),
    ("histogram", "SELECT FLOOR(i_psfMag * 2) / 2 AS m, COUNT(*) AS n FROM survey.Object WHERE i_psfMag IS NOT NULL GROUP BY FLOOR(i_psfMag * 2) / 2",
     lambda sky: list(Counter(math.floor(m * 2) / 2 for m in sky.objects.i_psfMag.astype(float).dropna()).items())),
    ("random sample", "SELECT COUNT(*) FROM survey.Object WHERE sample_hash(objectId) < 0.1",
     lambda sky: [(sum(_sampled(int(i)) < 0.1 for i in sky.objects.objectId),)]),
    ("completeness against truth", "SELECT COUNT(*) AS n, COUNT(m.match_objectId) AS n_found FROM survey.TruthSummary AS t LEFT JOIN "
     "survey.MatchesTruth AS m ON m.id_truth_type = t.id_truth_type WHERE t.mag_r < 22",
     lambda sky: (b := sky.truth[sky.truth.mag_r < 22].merge(sky.matches, on="id_truth_type", how="left")) is not None
     and [(len(b), int(b.match_objectId.notna().sum()))]),
    ("match, truth and object", f"SELECT o.objectId, t.redshift FROM survey.MatchesTruth AS m JOIN survey.TruthSummary AS t "
     f"ON m.id_truth_type = t.id_truth_type JOIN survey.Object AS o ON m.match_objectId = o.objectId WHERE "
     f"CONTAINS(POINT('ICRS', o.coord_ra, o.coord_dec), CIRCLE('ICRS', {RA}, {DEC}, 0.03)) = 1 AND t.truth_type = 1",
     lambda sky: sky.some[["objectId"]].merge(sky.matches, left_on="objectId", right_on="match_objectId")
     .merge(sky.truth[sky.truth.truth_type == 1], on="id_truth_type")[["objectId", "redshift"]]),
    ("variability search", "SELECT diaObjectId FROM survey.DiaObject WHERE nDiaSources > 8 AND r_psfFluxNdata > 1",
     lambda sky: (d := sky.dia_objects)[(d.nDiaSources > 8) & (d.r_psfFluxNdata > 1)][["diaObjectId"]]),
    ("light curves of several", "SELECT objectId, band, COUNT(*) AS n, AVG(psfFlux) AS f FROM survey.ForcedSource WHERE objectId IN ({ids}) "
     "AND psfFlux_flag = 0 GROUP BY objectId, band",
     lambda sky: (f := sky.forced)[f.objectId.isin(sky.ids) & ~f.psfFlux_flag].astype({"psfFlux": float})
     .groupby(["objectId", "band"], as_index=False).agg(n=("visit", "size"), f=("psfFlux", "mean"))),
    ("sources of a visit", "SELECT TOP 1000000 sourceId FROM survey.Source WHERE visit = {visit} AND detector = {detector}",
     lambda sky: (s := sky.sources)[(s.visit == s.visit[0]) & (s.detector == s.detector[0])][["sourceId"]]),
    ("sources per visit, loose GROUP BY", "SELECT v.visit, v.band, COUNT(*) AS n FROM survey.Visit AS v JOIN survey.Source AS s "
     "ON s.visit = v.visit WHERE v.expMidptMJD > 60000 AND s.extendedness < 0.5 GROUP BY v.visit",
     lambda sky: (s := sky.sources[sky.sources.extendedness < 0.5].merge(sky.visits[["visit", "expMidptMJD"]], on="visit"))
     [s.expMidptMJD > 60000].groupby(["visit", "band"], as_index=False).agg(n=("sourceId", "size"))),
    ("pairs within 5 arcsec", f"SELECT a.objectId, b.objectId FROM survey.Object AS a JOIN survey.Object AS b ON "
     f"DISTANCE(POINT(a.coord_ra, a.coord_dec), POINT(b.coord_ra, b.coord_dec)) < 5 / 3600. AND a.objectId < b.objectId WHERE "
     f"DISTANCE(POINT(a.coord_ra, a.coord_dec), POINT({RA}, {DEC})) <= 0.02 AND DISTANCE(POINT(b.coord_ra, b.coord_dec), POINT({RA}, {DEC})) <= 0.02",
     lambda sky: (p := sky.pairs)[(p.d < 5 / 3600) & (p.objectId_a < p.objectId_b)][["objectId_a", "objectId_b"]]),
    ("JOIN without ON, circle of columns", "SELECT d.diaObjectId, o.objectId FROM survey.DiaObject AS d JOIN survey.Object AS o WHERE "
     "CONTAINS(POINT('ICRS', o.coord_ra, o.coord_dec), CIRCLE('ICRS', d.ra, d.dec, 0.0005)) = 1",
     lambda sky: [(int(ident), int(i)) for ident, ra, dec in zip(*(sky.dia_objects[c].tolist() for c in ("diaObjectId", "ra", "dec")), strict=True)
                  for i in sky.near(0.0005, ra, dec).objectId]),
    ("polygon", "SELECT COUNT(*) FROM survey.Object WHERE CONTAINS(POINT('ICRS', coord_ra, coord_dec), POLYGON('ICRS', 61.97, -37.02, 62.04, -37.02, 62.0, -36.97)) = 1",
     lambda sky: [(int(_in_triangle(sky.objects, [(61.97, -37.02), (62.04, -37.02), (62.0, -36.97)]).sum()),)]),
    ("one patch", "SELECT objectId, g_psfFlux FROM survey.Object WHERE tract = {tract} AND patch = {patch}",
     lambda sky: (o := sky.objects)[(o.tract == sky.some.tract.iloc[0]) & (o.patch == sky.some.patch.iloc[0])][["objectId", "g_psfFlux"]]),
    ("TOP with ORDER BY, mixed case, line breaks", f"SELECT TOP 5 OBJECTID, I_psfmag\nFROM Survey.OBJECT\nWHERE CONTAINS\n  (POINT('ICRS', coord_ra, coord_dec),\n"
     f"   CIRCLE ('ICRS', {RA}, {DEC}, 0.03)) = 1\n  AND i_psfMag IS NOT NULL\nORDER BY i_psfMag;",
     lambda sky: sky.some[["objectId", "i_psfMag"]].dropna().sort_values("i_psfMag")[:5]),
    ("distance in SELECT", f"SELECT objectId, DISTANCE(POINT('ICRS', coord_ra, coord_dec), POINT('ICRS', {RA}, {DEC})) AS d FROM survey.Object WHERE {CONE}",
     lambda sky: (o := sky.some).assign(d=separation_deg(o.coord_ra, o.coord_dec, RA, DEC))[["objectId", "d"]]),
    ("boolean compared with a decimal", f"SELECT COUNT(*) FROM survey.Object WHERE {CONE} AND i_cModel_flag < 0.5",
     lambda sky: [(int((~sky.some.i_cModel_flag).sum()),)]),
]  # fmt: skip


def _colours(sky: Sky) -> Frame:
    o = sky.some[sky.some.refExtendedness == 0].astype(
        {f"{b}_psf{q}": float for b in "gi" for q in ("Flux", "FluxErr", "Mag")}
    )
    o = o[(o.g_psfFlux / o.g_psfFluxErr > 5) & (o.i_psfFlux / o.i_psfFluxErr > 5)]
    return o.assign(c=o.g_psfMag - o.i_psfMag)[["c", "i_psfMag"]]


def _red(sky: Sky) -> Frame:
    o = sky.some.assign(c=sky.some.r_cModelMag.astype(float) - sky.some.i_cModelMag.astype(float))
    return o[(o.i_cModelMag < 23) & o.c.between(0.2, 0.9)][["objectId", "c"]]


def _sampled(ident: int) -> float:
    return int(hashlib.md5(str(ident).encode()).hexdigest()[:13], 16) / 16**13  # of no secret


def _in_triangle(frame: Frame, corners: list[tuple[float, float]]) -> Any:
    """Return who is to the left of all great circles through neighbouring corners."""
    edges = np.array([_vector(*corner) for corner in corners])
    normals = np.cross(edges, np.roll(edges, -1, axis=0))
    return (_vector(frame.coord_ra.to_numpy(), frame.coord_dec.to_numpy()).T @ normals.T >= 0).all(axis=1)


def _vector(lon: Any, lat: Any) -> Any:
    a, d = np.radians(lon), np.radians(lat)
    return np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])


# --- the comparison -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(server_url: str) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(f"{server_url}/tap")


@pytest.fixture(scope="module")
def sky(sample_store: SampleStore) -> Sky:
    return Sky(sample_store.survey)


def plain(value: Any) -> Any:
    """Return a cell as a plain value: None for what is masked or NaN, a time as its text."""
    if value is None or value is np.ma.masked or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat(timespec="microseconds")
    value = value.item() if isinstance(value, np.generic) else value
    if value == "":  # VOTable's TABLEDATA and pyvo do not tell it from NULL
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def found_rows(service: pyvo.dal.TAPService, query: str, language: str) -> list[tuple[Any, ...]]:
    table = service.run_sync(query, language=language, maxrec=1_000_000).to_table()
    return [tuple(map(plain, row)) for row in table]


def expected_rows(value: Any) -> list[tuple[Any, ...]]:
    rows = value.itertuples(index=False, name=None) if isinstance(value, Frame) else value
    return [tuple(map(plain, row)) for row in rows]


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows sorted by what does not depend on the last digits of numbers."""

    def key(value: Any) -> str:
        return f"{float(f'{value:.4g}'):+020.6f}" if isinstance(value, float) else str(value)

    return sorted(rows, key=lambda row: [key(value) for value in row])


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, bool | int | float) and isinstance(theirs, bool | int | float):
        both_whole = isinstance(mine, int) and isinstance(theirs, int)
        return mine == theirs if both_whole else math.isclose(mine, theirs, rel_tol=2e-6, abs_tol=1e-9)
    return bool(mine == theirs)


@pytest.mark.parametrize(
    ("language", "case"),
    [*((("QSERV", case)) for case in QSERV), *(("ADQL", case) for case in ADQL)],
    ids=lambda value: value if isinstance(value, str) else value[0].replace(" ", "-"),
)
def test_answers_equal_those_of_the_input(service: pyvo.dal.TAPService, sky: Sky, language: str, case: Case) -> None:
    _, text, expected = case
    one = sky.some.iloc[0]
    words = {"{id}": sky.ids[0], "{ids}": ", ".join(map(str, sky.ids)), "{tract}": one.tract, "{patch}": one.patch,
             "{visit}": sky.sources.visit[0], "{detector}": sky.sources.detector[0]}  # fmt: skip
    for word, value in words.items():
        text = text.replace(word, str(value))
    mine, theirs = found_rows(service, text, language), expected_rows(expected(sky))
    if "ORDER BY" not in text.upper().rpartition(")")[2]:
        mine, theirs = in_order(mine), in_order(theirs)
    assert len(mine) == len(theirs) > 0
    wrong = [(a, b) for a, b in zip(mine, theirs, strict=True) if len(a) != len(b) or not all(map(same, a, b))]
    assert not wrong, wrong[:3]
