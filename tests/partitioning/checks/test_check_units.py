"""Checks that are done by units of work find what threads of one process find, to the letter."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from partitioning.checks import sound
from partitioning.checks.report import Full, Report, Sample, Scope, Tiles
from partitioning.checks.units import begin_units, check_stages, check_unit
from partitioning.checks.verify import verify_release
from partitioning.layout.leaf import file_checksum
from partitioning.stages import plan
from partitioning.stages.workspace import Workspace
from tests.partitioning.builders import leaves
from tests.partitioning.checks.complete import pixel_of
from tests.partitioning.checks.test_verify import (
    edit_child,
    edit_index,
    edit_leaf,
    edit_margin,
    edit_parquet,
    flip,
    margin_of,
    missing_margin_row,
    orphan_not_at_its_own_position,
    parent_in_another_tile,
    row_in_the_wrong_tile,
    surplus_margin_row,
    swapped,
)


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_SMALL_UNIT_BYTES", 8_000)


@dataclass
class Farm:
    """Processes that do units, the last one first; played by this one."""

    home: Path
    done: dict[str, list[int]] = field(default_factory=dict)
    """Units by stage."""
    is_at_work: bool = False

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.home, "T_r1", self.home / "spill")

    @contextmanager
    def work(self) -> Iterator[None]:
        self.is_at_work = True
        yield
        self.is_at_work = False

    def run(self, stage: str, units: int) -> None:
        self.done[stage] = self.workspace.pending(stage, units)
        with self.work():
            for unit in reversed(self.done[stage]):
                check_unit(self.workspace, stage, unit)

    def verified(self, release: Path, scope: Scope | None = None) -> Report:
        return verify_release(release, scope=scope or Full(), each=begin_units(self.workspace, self.run))


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path / "home")


def agreed(farm: Farm, release: Path, scope: Scope | None = None) -> Report:
    """Return what both ways to verify find."""
    expected = verify_release(release, scope=scope or Full(), workers=2)
    assert replace(farm.verified(release, scope), seconds=expected.seconds) == expected
    return expected


@pytest.mark.parametrize("table", ["Object", "Dia", "Forced"])
@pytest.mark.parametrize("scope", [Full(), Sample(0.3, seed=3)])
def test_an_untouched_release(farm: Farm, schema_copy: Path, table: str, scope: Scope) -> None:
    report = agreed(farm, schema_copy / table / f"{table}_r1", scope)
    assert report.is_clean
    assert len(farm.done["verify-tiles"]) > 1


def test_distinct_values(farm: Farm, release: Path) -> None:
    """A unit sends the sketches of all of its leaves as one."""
    edit_parquet(release / "manifest/sketches.parquet", lambda table: table[:-1])
    report = agreed(farm, release)
    assert [finding.check for finding in report.findings] == ["statistics"] * len(report.findings)
    assert any("there is none of column" in finding.detail for finding in report.findings)
    for record in farm.workspace.records.glob("verify-tiles/*.npz"):
        with np.load(record) as told:
            results = pickle.loads(told["pickled"].tobytes())
        assert [bool(result.sums.sketches) for result in results] == [True] + [False] * (len(results) - 1)


def test_one_tile(farm: Farm, release: Path) -> None:
    agreed(farm, release, Tiles(frozenset([pixel_of(leaves(release)[5])])))
    assert len(farm.done["verify-tiles"]) == 1
    agreed(farm, release, Tiles(frozenset()))
    assert set(farm.done) == {"verify-tiles", "verify-margin-10-arcsec", "verify-index-id", "verify-index-band"}


@pytest.fixture
def read(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, bool]]:
    """Return what data files are read for their checksums, and whether a unit does."""
    files: list[tuple[Path, bool]] = []

    def noted(path: Path) -> str:
        files.append((path, farm.is_at_work))
        return file_checksum(path)

    monkeypatch.setattr(sound, "file_checksum", noted)
    return files


@pytest.mark.parametrize("table", ["Object", "Dia"])
def test_what_units_did_is_not_done_by_the_director(
    farm: Farm, schema_copy: Path, table: str, read: list[tuple[Path, bool]]
) -> None:
    """Orphans of Dia are looked for in all of the parent, whose leaves the units have found to be sound."""
    release = schema_copy / table / f"{table}_r1"
    assert farm.verified(release).is_clean
    assert {by_unit for _, by_unit in read} == {True}


def test_margins_are_made_of_leaves_that_are_known_to_be_sound(
    farm: Farm, release: Path, read: list[tuple[Path, bool]]
) -> None:
    assert farm.verified(release).is_clean
    paths = [path for path, _ in read]
    assert sorted(paths) == sorted([*leaves(release), *leaves(margin_of(release))])


def flipped_leaf(release: Path) -> None:
    for path in leaves(release)[2:9:3]:
        flip(path, path.stat().st_size // 3)


def flipped_footers(release: Path) -> None:
    """Such damage may end the process that reads it."""
    for path in leaves(release)[1:10:2]:
        for back in (30, 200, 400):
            flip(path, path.stat().st_size - back, back % 8)


def missing_leaf(release: Path) -> None:
    leaves(release)[4].unlink()


def flipped_margin(release: Path) -> None:
    for path in leaves(margin_of(release))[:2]:
        flip(path, path.stat().st_size // 3)


def other_parts(release: Path) -> None:
    edit_index(release, "id", lambda entries: swapped(entries, 139, 140))  # the border of two parts
    flip(release.with_name(f"{release.name}_band") / "dataset/index/part.1.parquet", 300)


@pytest.mark.parametrize(
    "damage",
    [
        flipped_leaf,
        flipped_footers,
        missing_leaf,
        flipped_margin,
        other_parts,
        lambda release: edit_leaf(release, row_in_the_wrong_tile),
        lambda release: edit_margin(release, missing_margin_row),
        lambda release: edit_margin(release, surplus_margin_row),
    ],
)
def test_damage(farm: Farm, release: Path, damage: Callable[[Path], object]) -> None:
    damage(release)
    assert not agreed(farm, release).is_clean


@pytest.mark.parametrize("damage", [parent_in_another_tile, orphan_not_at_its_own_position])
def test_children_elsewhere(farm: Farm, dia: Path, damage: Callable[..., object]) -> None:
    edit_child(dia, damage)  # type: ignore[arg-type]
    assert not agreed(farm, dia).is_clean


def test_a_verification_does_all_units_anew(farm: Farm, release: Path) -> None:
    assert farm.verified(release).is_clean
    before = dict(farm.done)
    stages = check_stages(farm.workspace)
    assert [stage for stage, _ in stages] == list(before)
    assert [list(range(units)) for _, units in stages] == list(before.values())
    flipped_leaf(release)
    agreed(farm, release)
    assert farm.done == before


def test_results_that_come_late_from_an_earlier_verification_are_not_trusted(farm: Farm, release: Path) -> None:
    assert farm.verified(release).is_clean
    kept = farm.home / "kept"
    shutil.copytree(farm.workspace.records, kept)
    flipped_leaf(release)
    flipped_margin(release)

    def run_late(stage: str, units: int) -> None:
        farm.run(stage, units)
        shutil.copytree(kept / stage, farm.workspace.record(stage, 0).parent, dirs_exist_ok=True)

    expected = verify_release(release, scope=Full())
    report = verify_release(release, scope=Full(), each=begin_units(farm.workspace, run_late))
    assert replace(report, seconds=expected.seconds) == expected
    assert not report.is_clean
