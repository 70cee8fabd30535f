import multiprocessing
import os
import signal
from pathlib import Path

from catalog_service.engines.scratch import ScratchDirectory
from tests.catalog_service.engines.queries import names_in


def hold_and_die(base: str) -> None:
    scratch = ScratchDirectory(Path(base))
    (scratch.path / "spill").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)


def test_directories_of_the_living_stay(tmp_path: Path) -> None:
    first, second = ScratchDirectory(tmp_path), ScratchDirectory(tmp_path)
    assert len(names_in(tmp_path)) == 2
    first.close()
    assert names_in(tmp_path) == [second.path.name]
    second.close()
    assert names_in(tmp_path) == []


def test_directories_of_the_dead_go(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=hold_and_die, args=(str(tmp_path),))
    process.start()
    process.join()
    [left] = names_in(tmp_path)
    scratch = ScratchDirectory(tmp_path)
    assert left not in names_in(tmp_path)
    scratch.close()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "pool-of-somebody").mkdir()
    ScratchDirectory(tmp_path).close()
    assert names_in(tmp_path) == ["other", "pool-of-somebody"]
