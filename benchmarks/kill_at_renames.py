"""Kill a build, or an append, exactly before each of its changes of directories, one after the other.

::

    python -m benchmarks.kill_at_renames --action append --every 1

The changes are all renames, links and removals of files and directories. Those of publication are all tried, of the
others each `every`-th. After each kill readers must see the old release or the new one, byte for byte, and the same
command must end with the new one. Everything runs in forks of this process, one at a time.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

from benchmarks.kill_builds import CREATED, MANY_UNITS, TABLES, Action, Scene, config, write_inputs
from partitioning.executors import InlineExecutor
from partitioning.pipeline import append, build
from partitioning.stages.run import Share

_CHANGES: Final = ("rename", "replace", "link", "unlink", "rmdir")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--action", choices=("build", "append"), default="append")
    parser.add_argument("--every", type=int, default=1, help="try each so many-th change, and those of publication")
    parser.add_argument("--rows", type=int, default=60, help="rows of an input file")
    parser.add_argument("--dir", type=Path, help="directory for the temporary files")
    options = parser.parse_args(arguments)
    for module, name, value in MANY_UNITS:
        setattr(module, name, value)
    setattr(os, "fsync", lambda _: None)  # noqa: B010  a kill loses nothing that was written: there is no need to wait for the disk
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        report = run(Path(directory), options.action, options.rows, options.every)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.exit(0 if not report["wrong"] else 1)


def run(base: Path, action: Action, rows: int, every: int) -> dict[str, Any]:
    """Make the expected releases, then kill at each change in turn."""
    scene = Scene(base, base / "input")
    write_inputs(scene.inputs, rows, seed=1)
    log = base / "changes.txt"
    require(in_fork(lambda: work("build", scene, scene.expected("build"))))
    require(in_fork(scene.begin_expected_append))
    require(in_fork(lambda: work("append", scene, scene.expected("append"))))
    in_fork(lambda: scene.fresh(action))
    require(in_fork(lambda: logged(log, lambda: work(action, scene, scene.base / "tried"))))
    changes = log.read_text(encoding="utf-8").splitlines()
    publishing = [number for number, change in enumerate(changes) if is_publication(change)]
    tried = sorted({*range(0, len(changes), every), *publishing, publishing[-1] + 1})
    wrong = []
    for number in tried:
        problem = in_fork(lambda number=number: one_kill(scene, action, number))  # type: ignore[misc]
        if problem is not None:
            wrong.append({"change": number, "what": changes[number], "problem": problem})
    return {
        "benchmark": "kill_at_renames",
        "action": action,
        "changes": len(changes),
        "of_publication": len(publishing),
        "kills": len(tried),
        "wrong": wrong,
    }


def is_publication(change: str) -> bool:
    """Return whether a change puts something in place that readers see."""
    kind, target = change.split(" ", 1)[0], Path(change.rsplit(" -> ", maxsplit=1)[-1])
    return kind in {"rename", "replace"} and ".staging" not in target.parts and not target.name.startswith(".")


def one_kill(scene: Scene, action: Action, number: int) -> None:
    """Kill before change `number`, look, run again, look again."""
    root = scene.fresh(action)
    status = os.waitpid(forked(lambda: killed_at(number, lambda: work(action, scene, root))), 0)[1]
    require(None if os.WIFSIGNALED(status) else "was not killed")
    require(None if scene.look(action, root).none else f"after the kill: {scene.look(action, root)}")
    was_done = scene.is_new(action, root)
    work(action, scene, root)
    if action == "build" and was_done and not scene.is_new(action, root):
        return  # the kill hit when nothing but an empty directory was left to remove: this was the next build
    require(None if scene.look(action, root).none else f"at the end: {scene.look(action, root)}")
    require(None if scene.is_new(action, root) else "the release was not made")
    left = [str(path) for table in TABLES for path in (root / "survey" / table).glob(".*")]
    require(f"left behind: {left}" if left else None)


def work(action: Action, scene: Scene, root: Path) -> None:
    """Build or append in this process."""
    wanted = config(scene.inputs, root, files=3 if action == "build" else None)
    executor = InlineExecutor(Share(64 << 20))
    (build if action == "build" else append)(wanted, created=CREATED, executor=executor)


def in_fork(do: Callable[[], object]) -> str | None:
    """Do something in a fork of this process; return what went wrong."""
    receive, send = os.pipe()
    child = forked(do, send)
    os.close(send)
    with os.fdopen(receive, encoding="utf-8") as pipe:
        problem = pipe.read()
    os.waitpid(child, 0)
    return problem or None


def forked(do: Callable[[], object], send: int = 2) -> int:
    """Start a fork that does something, and writes what went wrong to a descriptor; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        with redirect_stdout(sys.stderr):
            do()
    except BaseException:  # noqa: BLE001  whatever it is, it is told
        os.write(send, traceback.format_exc()[-3000:].encode())
    os._exit(0)


def require(problem: str | None) -> None:
    """Raise if there is a problem."""
    if problem is not None:
        raise RuntimeError(problem)


def killed_at(number: int, do: Callable[[], object]) -> None:
    """Do something; this process is killed before it makes change `number`."""
    left = number

    def before(_change: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    watch(before)
    do()


def logged(path: Path, do: Callable[[], object]) -> None:
    """Do something, and write down each change; threads that change things at once take turns."""
    turn = threading.Lock()
    with path.open("w", encoding="utf-8") as file:

        def note(change: str) -> None:
            with turn:
                file.write(f"{change}\n")

        watch(note)
        do()


def watch(before: Callable[[str], None]) -> None:
    """Have `before` called with a description before each change that this process makes."""
    for name in _CHANGES:
        setattr(os, name, _watched(name, getattr(os, name), before))


def _watched(name: str, change: Callable[..., object], before: Callable[[str], None]) -> Callable[..., object]:
    def call(*paths: Any, **options: Any) -> object:
        before(f"{name} {' -> '.join(map(str, paths))}")
        return change(*paths, **options)

    return call


if __name__ == "__main__":
    main()
