"""Random single-bit flips anywhere in a release are all found."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.partitioning.checks.release import checked

FLIPS = 80
ALONE = ("manifest.json", "manifest/files.parquet", "checksums.xxh128")
"""Damage in these keeps verify from looking at other files, or is told of the file that they list."""
COPIES = ("flat/ids.i64", "flat/healpix.i64")
"""These are compared with other files, which must be sound."""


def flips(files: list[Path]) -> Iterator[list[tuple[Path, int, int]]]:
    """Yield rounds of (file, byte, bit), no file twice in a round; files are drawn evenly, so that small ones count."""
    rng, left = np.random.default_rng(20_260_102), FLIPS
    while left:
        drawn = [files[number] for number in rng.permutation(len(files))[: min(25, left)]]
        left -= len(drawn)
        chosen = [(path, int(rng.integers(path.stat().st_size)), int(rng.integers(8))) for path in drawn]
        together = [flip for flip in chosen if not str(flip[0]).endswith((*ALONE, *COPIES))]
        yield from [together, *([flip] for flip in chosen if flip not in together)]


def flip(path: Path, at: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.timeout(300)
def test_every_flipped_bit_is_found(release: Path) -> None:
    """files.parquet has the checksums of data files, checksums.xxh128 those of all others but the flat arrays.

    The pointer beside the releases is no part of one: its comment line may change unseen.
    """
    table = release.parent
    (table / "collection.properties").unlink()
    files = sorted(path for path in table.rglob("*") if path.is_file() and path.stat().st_size)
    assert len(files) > 50
    missed, total = [], 0
    for round_ in flips(files):
        for one in round_:
            flip(*one)
        told = {finding.path for finding in checked(release).findings}
        for one in round_:
            name, alone = one[0].relative_to(table).as_posix(), str(one[0]).endswith(ALONE)
            if name not in told and not (alone and told):
                missed.append(one)
            flip(*one)
        total += len(round_)
    assert (total, missed) == (FLIPS, [])
    assert checked(release).findings == ()
