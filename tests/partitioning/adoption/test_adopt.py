"""Adoption: what is written, what is refused, how it is published; answers are tested through the service."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_service.storage.catalogs import Registry
from partitioning.adopt import Adoption, adopt, changed_files
from partitioning.checks.command import CLEAN, FINDINGS, UNUSABLE, VerifyOptions, run_repair, run_verify
from partitioning.config import BuildConfig, TableConfig, load_config
from partitioning.describe import describe_table
from partitioning.exceptions import ConfigError, InputError, LayoutError, PartitioningError, SchemaMismatchError
from partitioning.layout.adopted import read_file_map
from partitioning.layout.manifest import read_manifest
from partitioning.pipeline import append, build
from partitioning.readers.base import find_inputs
from partitioning.sky.coverage import cover
from partitioning.sky.healpix import radec_to_index
from partitioning.sky.regions import Cone
from partitioning.stages.publish import current_release
from tests.foreign import GOOD_ROWS, ROWS, good_table, pixels, rows, tile_groups, tracts, tree_state, write_hats
from tests.partitioning.builders import build_all, commanded, sky_rows, sky_table, write_files

CREATED = "2026-01-02T03:04:05Z"


def wanted(base: Path, *paths: Path | str, **options: object) -> Adoption:
    given = {"table": "stars", "ra": "ra", "dec": "dec", "id": ("id",), **options}
    return Adoption(paths=tuple(map(str, paths)), root=base / "catalogs", schema="other", **given)  # type: ignore[arg-type]


def sorted_leaves() -> list[tuple[int, int, list[pa.Table]]]:
    leaves = []
    for order, pixel, part in tile_groups(good_table()):
        leaves.append(
            (order, pixel, [part.append_column("_healpix_29", pa.array(pixels(part, 29))).sort_by("_healpix_29")])
        )
    return leaves


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("plain")
    tracts(base / "foreign", rows())
    (base / "foreign/_temporary.parquet").write_text("no Parquet file")
    before = tree_state(base / "foreign")
    adopt(wanted(base, base / "foreign"), created=CREATED)
    assert tree_state(base / "foreign") == before
    return base


@pytest.fixture(scope="module")
def hats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("hats")
    write_hats(base / "foreign", sorted_leaves())
    adopt(wanted(base, base / "foreign", ra=None, dec=None), created=CREATED)
    return base


def release(base: Path) -> Path:
    found = current_release(base / "catalogs/other/stars")
    assert found is not None
    return found


def test_only_a_sidecar_is_written(plain: Path) -> None:
    written = sorted(str(path.relative_to(plain)) for path in (plain / "catalogs").rglob("*") if path.is_file())
    home = "catalogs/other/stars"
    names = ("files.parquet", "manifest.json", "row_groups.parquet")
    assert written == [*(f"{home}/stars_r1/manifest/{name}" for name in names), f"{home}/table.properties"]


def test_manifest_of_plain_files(plain: Path) -> None:
    manifest = read_manifest(release(plain))
    assert manifest.adopted is not None
    assert (manifest.rows, manifest.created, manifest.nan_policy) == (ROWS, CREATED, "guard")
    assert (manifest.adopted.kind, manifest.adopted.base) == ("parquet", str(plain / "foreign"))
    assert manifest.placement is not None
    assert manifest.placement.healpix_column is None
    guarded = {column.name for column in manifest.columns if not column.nan_free}
    assert guarded == {"ra", "dec", "mag", "mag32", "flux", "curve"}


def test_every_row_lies_in_its_files_and_row_groups_coverage(plain: Path) -> None:
    manifest = read_manifest(release(plain))
    assert manifest.adopted is not None
    files = read_file_map(release(plain), manifest.adopted)
    groups = pq.read_table(release(plain) / "manifest/row_groups.parquet").to_pylist()
    found = 0
    for number, path in enumerate(files.paths):
        ranges = files.ranges[files.offsets[number] : files.offsets[number + 1]]
        assert 1 <= len(ranges) <= 32
        assert (ranges[1:, 0] > ranges[:-1, 1]).all()
        assert (files.starts[number], files.stops[number]) == (ranges[0, 0], ranges[-1, 1])
        for group, one in enumerate(row for row in groups if row["file"] == number):
            table = pq.ParquetFile(path).read_row_group(group)
            ra, dec = (table[name].to_numpy() for name in ("ra", "dec"))
            good = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
            index = radec_to_index(ra[good], dec[good])
            inside = np.any([(index >= low) & (index < high) for low, high in ranges], axis=0)
            assert inside.all()
            expected = (index.min(), index.max()) if len(index) else (0, -1)
            assert (one["healpix_min"], one["healpix_max"]) == expected
            assert (one["id.min"], one["id.max"]) == (min(table["id"].to_pylist()), max(table["id"].to_pylist()))
            assert one["rows"] == len(table)
            found += len(index)
    assert found == GOOD_ROWS


def test_ranges_prune_better_than_a_hull(plain: Path) -> None:
    """Tracts of a sixth of the sky: a small cone needs few of them, though each spans most of the index."""
    manifest = read_manifest(release(plain))
    assert manifest.adopted is not None
    files = read_file_map(release(plain), manifest.adopted)
    rng = np.random.default_rng(1)
    centres = zip(rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200))), strict=True)
    coverages = [cover(Cone(float(ra), float(dec), 0.01)) for ra, dec in centres]
    chosen = sum(len(files.select(one)) for one in coverages)
    by_hull = sum(int(((files.starts < one[-1, 1]) & (files.stops > one[0, 0])).sum()) for one in coverages)
    assert chosen < 0.6 * by_hull


def test_id_bounds_of_files(plain: Path) -> None:
    for row in pq.read_table(release(plain) / "manifest/files.parquet").to_pylist():
        ids = pq.read_table(plain / "foreign" / row["path"])["id"].to_pylist()
        assert (row["id.min"], row["id.max"], row["rows"]) == (min(ids), max(ids), len(ids))


def test_an_index_is_relied_on_if_it_is_right_and_sorted(hats: Path, tmp_path: Path) -> None:
    manifest = read_manifest(release(hats))
    assert manifest.placement is not None
    assert manifest.placement.healpix_column == "_healpix_29"
    assert [column.name for column in manifest.columns if column.hidden] == ["_healpix_29"]

    def with_index(part: pa.Table, index: pa.Array) -> pa.Table:
        return part.set_column(8, "_healpix_29", index)

    spoilt: dict[str, Callable[[pa.Table], pa.Table]] = {
        "unsorted": lambda part: part.take(pa.array(np.r_[1 : len(part), 0])),
        "wrong": lambda part: with_index(part, pa.array(part["_healpix_29"].to_numpy() + 999)),
        "uint64": lambda part: with_index(part, part["_healpix_29"].cast(pa.uint64())),
        "null": lambda part: with_index(part, pa.nulls(len(part), pa.int64())),
        "absent": lambda part: part.drop_columns(["_healpix_29"]),
    }
    for name, spoil in spoilt.items():
        leaves = sorted_leaves()
        leaves[7] = (*leaves[7][:2], [spoil(leaves[7][2][0])])
        write_hats(tmp_path / name, leaves)
        table = adopt(wanted(tmp_path, tmp_path / name, table=name, ra=None, dec=None)).manifest
        assert table.placement is not None
        assert table.placement.healpix_column is None, name


def test_what_scan_finds(plain: Path, tmp_path: Path) -> None:
    table = adopt(wanted(tmp_path, plain / "foreign", scan=True)).manifest
    assert {column.name for column in table.columns if not column.nan_free} == {"ra", "dec", "mag", "mag32", "curve"}


def test_checked_positions_need_no_guard(hats: Path) -> None:
    columns = {column.name: column for column in read_manifest(release(hats)).columns}
    assert columns["ra"].nan_free
    assert columns["dec"].nan_free
    assert not columns["mag"].nan_free


def test_trusted_tiles_are_the_coverage(hats: Path, tmp_path: Path) -> None:
    manifest = adopt(wanted(tmp_path, hats / "foreign", ra=None, dec=None, trust_tiles=True)).manifest
    assert manifest.adopted is not None
    assert manifest.placement is not None
    assert manifest.placement.healpix_column == "_healpix_29"
    files = read_file_map(release(tmp_path), manifest.adopted)
    tiles = [(pixel << 2 * (29 - order), (pixel + 1) << 2 * (29 - order)) for order, pixel, _ in sorted_leaves()]
    assert sorted(zip(files.starts.tolist(), files.stops.tolist(), strict=True)) == sorted(tiles)
    assert (files.separations_deg > 0).all()


def test_leaves_that_are_not_listed_are_left_out_and_told(tmp_path: Path) -> None:
    leaves = sorted_leaves()
    write_hats(tmp_path / "foreign", leaves)
    listed = (tmp_path / "foreign/partition_info.csv").read_text().splitlines()
    (tmp_path / "foreign/partition_info.csv").write_text("\n".join(listed[:-1]) + "\n")
    extra = next((tmp_path / "foreign/dataset").rglob("*.parquet"))
    shutil.copy(extra, f"{extra}.tmp")
    said: list[str] = []
    manifest = adopt(wanted(tmp_path, tmp_path / "foreign", ra=None, dec=None), report=said.append).manifest
    assert manifest.rows == GOOD_ROWS - len(leaves[-1][2][0])
    assert any("1 leaves are not in partition_info.csv" in line for line in said)


def test_linked_files_are_adopted_where_they_really_lie(tmp_path: Path) -> None:
    paths = tracts(tmp_path / "store/deep", rows(), count=3)
    (tmp_path / "farm").mkdir()
    for path in paths:
        (tmp_path / "farm" / path.name).symlink_to(path)
    manifest = adopt(wanted(tmp_path, tmp_path / "farm")).manifest
    assert manifest.adopted is not None
    assert manifest.adopted.directories == (str(tmp_path / "store/deep"),)
    assert manifest.rows == ROWS


def test_adopting_again_makes_the_next_release_and_a_build_takes_over(tmp_path: Path) -> None:
    paths = tracts(tmp_path / "foreign", good_table(), count=3)
    for number in (1, 2):
        adopt(wanted(tmp_path, tmp_path / "foreign"))
        assert release(tmp_path).name == f"stars_r{number}"
    config = tmp_path / "build.toml"
    config.write_text(
        f'[release]\nroot = "catalogs"\nschema = "other"\n[[table]]\nname = "stars"\n'
        f'input = {json.dumps([str(path) for path in paths])}\nra = "ra"\ndec = "dec"\n'
    )
    home = tmp_path / "catalogs/other/stars"
    old_pointer = (home / "table.properties").read_bytes()
    build(load_config(config))
    assert not (home / "table.properties").exists()
    (home / "table.properties").write_bytes(old_pointer)  # as if the build had died just before it took it away
    (stored,) = Registry(tmp_path / "catalogs", {}).snapshot.stored.values()
    assert (stored.release, stored.foreign_directories) == (3, ())
    adopt(wanted(tmp_path, tmp_path / "foreign"))
    (stored,) = Registry(tmp_path / "catalogs", {}).snapshot.stored.values()
    assert (stored.release, stored.foreign_directories) == (4, (str(tmp_path / "foreign"),))


def test_a_failed_adoption_leaves_what_was_published(tmp_path: Path) -> None:
    paths = tracts(tmp_path / "foreign", good_table(), count=3)
    adopt(wanted(tmp_path, tmp_path / "foreign"))
    before = tree_state(tmp_path / "catalogs/other/stars/stars_r1")
    content = bytearray(paths[1].read_bytes())
    content[200:3000] = bytes(2800)
    paths[1].write_bytes(content)
    with pytest.raises(InputError, match=r"tract1\.parquet: cannot be read"):
        adopt(wanted(tmp_path, tmp_path / "foreign", scan=True))
    assert release(tmp_path).name == "stars_r1"
    assert tree_state(tmp_path / "catalogs/other/stars/stars_r1") == before
    assert sorted(path.name for path in release(tmp_path).parent.iterdir()) == ["stars_r1", "table.properties"]


def test_changed_files_are_found(tmp_path: Path) -> None:
    paths = tracts(tmp_path / "foreign", good_table(), count=4)
    adopt(wanted(tmp_path, tmp_path / "foreign"))
    home = tmp_path / "catalogs/other/stars"
    assert list(changed_files(home)) == []
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes() + b"x")
    paths[2].touch()
    new = write_one(tmp_path / "foreign/deep/new.parquet")
    changed = list(changed_files(home))
    assert [line.partition(": ")[0] for line in changed] == [str(path) for path in [*paths[:3], new]]
    assert changed[-1].endswith("is new")
    with pytest.raises(LayoutError, match="no adopted table"):
        list(changed_files(tmp_path / "catalogs/other/nothing"))


def test_describe(plain: Path) -> None:
    text = "\n".join(describe_table(plain / "catalogs/other/stars"))
    assert f"adopted: 12 files of {plain / 'foreign'}" in text
    assert "coverage by positions" in text


def write_one(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [1], "ra": [1.0], "dec": [2.0], **columns}), path)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "no-name"}, "letters, digits"),
        ({"dec": None}, "both --ra and --dec"),
        ({"ra": None, "dec": None}, "plain Parquet does not tell; give --ra and --dec, of dec, id, name, ra"),
        ({"ra": "raj"}, "no column 'raj' in the files; did you mean 'ra'"),
        ({"ra": "name"}, "position column 'name' is string"),
        ({"id": ("ident",)}, "no column 'ident'"),
        ({"trust_tiles": True}, "is for HATS catalogs"),
        ({"trust_tiles": True, "scan": True}, "give one of them"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, object], message: str) -> None:
    write_one(tmp_path / "foreign/a.parquet", name=["x"])
    with pytest.raises(PartitioningError, match=message):
        adopt(wanted(tmp_path, tmp_path / "foreign", **options))
    assert not (tmp_path / "catalogs").exists()


@pytest.mark.parametrize("url", ["s3://bucket/catalog", "https://data.example.org/catalog", "s3:/bucket/x"])
def test_urls_are_refused_with_a_remedy(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=r"is a URL.*Mount the store"):
        adopt(wanted(tmp_path, url))


def test_paths_that_do_not_fit(tmp_path: Path) -> None:
    one = write_one(tmp_path / "foreign/a.parquet")
    (tmp_path / "empty").mkdir()
    write_hats(tmp_path / "many/hats", sorted_leaves()[:2])
    cases = [
        ([tmp_path / "nothing"], "no such file"),
        ([tmp_path / "empty"], "holds no Parquet file"),
        ([tmp_path / "many"], "is a HATS catalog inside"),
        ([tmp_path / "many/hats", one], "adopt it by itself"),
    ]
    for paths, message in cases:
        with pytest.raises(InputError, match=message):
            adopt(wanted(tmp_path, *paths))
    with pytest.raises(ConfigError, match="lies inside"):
        adopt(wanted(tmp_path / "foreign", tmp_path / "foreign"))


def test_directories_are_searched_as_a_build_does(tmp_path: Path) -> None:
    names = ["A.PARQUET", "b.parquet", "c/D.Parq", "c/e.pq"]
    for name in [*names, "_x.parquet", ".hidden/y.parquet"]:
        write_one(tmp_path / "foreign" / name)
    (tmp_path / "foreign/c/circle").symlink_to(tmp_path / "foreign")
    adopt(wanted(tmp_path, tmp_path / "foreign"))
    adopted = pq.read_table(release(tmp_path) / "manifest/files.parquet")["path"].to_pylist()
    built = [file.name for file in find_inputs(["."], tmp_path / "foreign")]
    assert adopted == built == names


def test_columns_in_names_of_directories_are_not_lost(tmp_path: Path) -> None:
    one = write_one(tmp_path / "foreign/visit=1/a.parquet")
    message = r"visit=1/a\.parquet: column 'visit' seems to be in the names of directories \(visit=1\) only"
    for open_files in (
        lambda: adopt(wanted(tmp_path, tmp_path / "foreign")),
        lambda: find_inputs(["."], one.parents[1]),
    ):
        with pytest.raises(InputError, match=message):
            open_files()
    assert adopt(wanted(tmp_path, one)).manifest.rows == 1


def test_other_hats_products_and_incomplete_catalogs(tmp_path: Path) -> None:
    leaves = sorted_leaves()[:3]
    write_hats(tmp_path / "margin", leaves, extra="dataproduct_type=margin\n")
    write_hats(tmp_path / "lacking", leaves)
    next((tmp_path / "lacking/dataset").rglob("*.parquet")).unlink()
    write_hats(tmp_path / "both", leaves, partition_info=False)
    for name in ("hats.properties", "properties"):
        path = tmp_path / "both" / name
        path.write_text(path.read_text().replace("hats_npix_suffix=.parquet\n", ""))
    next((tmp_path / "both/dataset").rglob("*.parquet")).with_suffix("").mkdir()
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote/collection.properties").write_text("hats_primary_table_url=s3://bucket/catalog\n")
    cases = [
        ("margin", "of type 'margin'"),
        ("lacking", r"has no such leaf \(1 missing\)"),
        ("both", "are leaves of one pixel"),
        ("remote", "no local directory"),
    ]
    for name, message in cases:
        with pytest.raises(PartitioningError, match=message):
            adopt(wanted(tmp_path, tmp_path / name, ra=None, dec=None))


def test_tiles_of_another_position_are_not_trusted(hats: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tiles are those of ra, dec"):
        adopt(wanted(tmp_path, hats / "foreign", ra="flux", dec="dec", trust_tiles=True))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, "lacks the column 'x', which .*a.parquet has"),
        ({"x": ["text"]}, "column 'x' is string, in .*a.parquet it is int64"),
        ({"x": [1.5]}, "no type holds both exactly"),
        ({"x": [1], "y": [1]}, "a.parquet: lacks the column 'y'"),
    ],
)
def test_files_of_other_columns(tmp_path: Path, other: dict[str, object], message: str) -> None:
    write_one(tmp_path / "foreign/a.parquet", x=[1])
    write_one(tmp_path / "foreign/b.parquet", **other)
    with pytest.raises(SchemaMismatchError, match=message):
        adopt(wanted(tmp_path, tmp_path / "foreign"))


def test_bounds_that_are_no_python_objects(tmp_path: Path) -> None:
    """Years outside 1 to 9999, and nanoseconds; in two files, so that bounds are widened."""
    kinds = {
        "day": pa.date32(),
        "time": pa.timestamp("us", "UTC"),
        "fine": pa.timestamp("ns"),
        "clock": pa.time64("ns"),
    }
    values = {"day": (-720_000, 4_000_000), "time": (-(2**56), 2**58), "fine": (1, 10**9), "clock": (1, 10**9 + 1)}
    for number, name in enumerate("ba"):
        stored = {key: pa.array([ends[number]], pa.int64()) for key, ends in values.items()}
        stored["day"] = stored["day"].cast(pa.int32())
        write_one(tmp_path / f"foreign/{name}.parquet", **{key: one.view(kinds[key]) for key, one in stored.items()})
    ids = ("day", "time", "fine")
    table = adopt(wanted(tmp_path, tmp_path / "foreign", id=ids)).manifest
    files = pq.read_table(release(tmp_path) / "manifest/files.parquet")
    for name in ids:
        low, high = values[name]
        whole = pa.int32() if name == "day" else pa.int64()
        for part in ("min", "max"):
            assert files[f"{name}.{part}"].combine_chunks().view(whole).to_pylist() == [high, low], name
    assert {one.name: (one.minimum, one.maximum) for one in table.columns if one.name in kinds} == {
        "day": ("-0002-09-16", "12921-08-18"),
        "time": ("-0314-08-02 01:39:22.072064+00:00", "11103-08-29 17:22:31.711744+00:00"),
        "fine": ("1970-01-01 00:00:00.000000001", "1970-01-01 00:00:01"),
        "clock": ("00:00:00.000000001", "00:00:01.000000001"),
    }


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_have_no_bounds_and_are_no_ids(tmp_path: Path, unit: str) -> None:
    for name, length in (("a", 1), ("b", None)):
        write_one(tmp_path / f"foreign/{name}.parquet", length=pa.array([length], pa.duration(unit)))
    table = adopt(wanted(tmp_path, tmp_path / "foreign", scan=True)).manifest
    assert [(one.minimum, one.maximum) for one in table.columns if one.name == "length"] == [(None, None)]
    (stored,) = Registry(tmp_path / "catalogs", {}).snapshot.stored.values()
    assert ([column.name for column in stored.table.columns], stored.rows) == (["id", "ra", "dec"], 2)
    with pytest.raises(ConfigError, match=r"id column 'length' is duration.*; ids are numbers or text"):
        adopt(wanted(tmp_path, tmp_path / "foreign", id=("length",)))


def test_names_that_differ_by_case_are_not_served(tmp_path: Path) -> None:
    write_one(tmp_path / "foreign/a.parquet", mag=[1.0], MAG=[2.0])
    said: list[str] = []
    adopt(wanted(tmp_path, tmp_path / "foreign"), report=said.append)
    assert "not served, since their names differ by case only: MAG, mag" in said
    (table,) = Registry(tmp_path / "catalogs", {}).snapshot.stored.values()
    assert [column.name for column in table.table.columns] == ["id", "ra", "dec"]
    write_one(tmp_path / "twins/a.parquet", RA=[2.0])
    with pytest.raises(InputError, match="differs by case only"):
        adopt(wanted(tmp_path, tmp_path / "twins", table="twins"))


def test_an_adopted_table_is_no_parent(tmp_path: Path) -> None:
    paths = tracts(tmp_path / "foreign", good_table()[:100], count=2)
    adopt(wanted(tmp_path, tmp_path / "foreign"))
    config = tmp_path / "build.toml"
    config.write_text(
        '[release]\nroot = "catalogs"\nschema = "other"\n[[table]]\nname = "child"\n'
        f'input = {json.dumps(str(paths[0]))}\nposition_from = {{ parent = "stars", key = ["id", "id"] }}\n'
    )
    with pytest.raises(ConfigError, match="is adopted; its children can be placed by it once it is built"):
        build(load_config(config))


def test_command_line(tmp_path: Path) -> None:
    paths = tracts(tmp_path / "foreign", rows(), count=3)
    place = ["--root", str(tmp_path / "catalogs"), "--schema", "other", "--table", "stars"]
    columns = ["--ra", "ra", "--dec", "dec", "--id", "id"]

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return commanded("adopt", *arguments)

    done = run(tmp_path / "foreign", *place, *columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "60 rows have no position" in done.stdout
    assert f"published stars_r1: {ROWS} rows" in done.stdout
    assert run("--check", *place).stdout == "0 files have changed\n"
    paths[0].touch()
    assert run("--check", *place).returncode == 1
    refused = run("s3://bucket/x", *place, *columns)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("error: s3://bucket/x: this is a URL")
    assert run(*place).returncode == 2


def test_an_adopted_table_among_others_is_told_as_not_checked(plain: Path, tmp_path: Path) -> None:
    adopted, lines = release(plain).parent, list[str]()
    write_files(tmp_path / "Object", sky_rows(50))
    own = build_all(tmp_path, sky_table())["Object"].directory.parent

    def verified(*tables: Path) -> int:
        lines.clear()
        return run_verify(VerifyOptions(tables, None, None, None, 1, None, is_full=True), lines.append)

    assert verified(adopted, own) == CLEAN
    assert lines[0].startswith(f"not checked: {adopted}: ")
    assert lines[0].endswith("is adopted, its files are others'; look for changes with adopt --check")
    assert verified(adopted, adopted) == UNUSABLE
    (own / "Object_r1/point_map.fits").unlink()
    assert verified(own, adopted) == FINDINGS


def test_an_adopted_table_is_neither_verified_repaired_nor_appended_to(plain: Path) -> None:
    home, lines = release(plain).parent, list[str]()
    assert run_verify(VerifyOptions([home], None, None, 0, 1, None, is_full=True), lines.append) == UNUSABLE
    assert run_repair(home, None, [], 1, lines.append) == FINDINGS
    assert all(line.startswith("error: ") and "is adopted" in line for line in lines)
    manifest = read_manifest(release(plain))
    table = TableConfig(name=manifest.table, input=("*.parquet",), ra="ra", dec="dec")
    with pytest.raises(ConfigError, match="is adopted"):
        append(BuildConfig(root=home.parent.parent, schema=home.parent.name, tables=(table,), input_dir=plain))
