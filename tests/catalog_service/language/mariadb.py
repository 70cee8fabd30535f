"""A private MariaDB server: what texts of the MySQL dialect mean to the program that defined it."""

import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.harness import require

Row = tuple[str | None, ...]

_MARK = "next answer"


class MariaDb:
    """A running server.

    Parameters
    ----------
    socket
        Path of its socket.
    """

    def __init__(self, socket: Path) -> None:
        self._client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "--batch", "--raw"]

    def is_up(self) -> bool:
        return subprocess.run([*self._client, "--execute=SELECT 1"], capture_output=True, check=False).returncode == 0

    def execute(self, script: str) -> None:
        """Run statements; raise if one fails."""
        subprocess.run(self._client, input=script.encode("latin1"), capture_output=True, check=True)

    def answers(self, queries: Sequence[str], database: str) -> list[list[Row] | str]:
        """Return the rows of each query, or the message of the error it ended in."""
        script = "".join(f"SELECT '{_MARK}';\n{query};\n" for query in queries)
        command = [*self._client, "--skip-column-names", "--force", "--xml", database]
        run = subprocess.run(command, input=script.encode("latin1"), capture_output=True, check=False)
        return list(_split(run.stdout.decode("latin1"), run.stderr.decode("latin1"), len(queries)))


def _split(output: str, errors: str, count: int) -> Iterator[list[Row] | str]:
    """Yield the answer of each query; a query that failed has only its mark in the output, and a line of errors."""
    found: list[list[Row]] = []
    for part in output.split('<?xml version="1.0"?>')[1:]:
        rows = [tuple(_value(field) for field in row) for row in ET.fromstring(part.strip())]
        if rows == [(_MARK,)]:
            found.append([])
        else:
            found[-1] = rows
    assert len(found) == count, f"{len(found)} of {count} answers: {errors[:500]}"
    messages = {
        int(line.split("at line ")[1].split(":")[0]): line for line in errors.splitlines() if " at line " in line
    }
    for number, rows in enumerate(found, start=1):
        yield messages.get(2 * number, rows)


def _value(field: ET.Element) -> str | None:
    return None if field.get("{http://www.w3.org/2001/XMLSchema-instance}nil") == "true" else (field.text or "")


@contextmanager
def running_mariadb(directory: Path) -> Iterator[MariaDb]:
    """Start a server in a directory of its own, without a network port; stop it at the end."""
    install_mariadb(directory)
    process = start_mariadb(directory, ["--skip-networking"])
    try:
        yield await_mariadb(directory, process)
    finally:
        process.terminate()
        process.wait(30)


def install_mariadb(directory: Path) -> None:
    """Make the data of a server whose user `root` has no password."""
    require(shutil.which("mariadbd"), "MariaDB is not installed (apt-get install mariadb-server)")
    # a server that starts removes the temporary tables of others that share its directory for them
    (directory / "tmp").mkdir()
    install = ["mariadb-install-db", "--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]
    install += [f"--datadir={directory / 'data'}", f"--tmpdir={directory / 'tmp'}"]
    subprocess.run(install, capture_output=True, check=True)


def start_mariadb(directory: Path, more_options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a server on data that `install_mariadb` made."""
    options = [f"--datadir={directory / 'data'}", f"--socket={directory / 'socket'}", "--sql-mode=", "--user=root"]
    options += ["--character-set-server=latin1", "--innodb-buffer-pool-size=32M", f"--pid-file={directory}/pid"]
    options.append(f"--tmpdir={directory / 'tmp'}")
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(["mariadbd", "--no-defaults", *options, *more_options], stdout=log, stderr=log)


def await_mariadb(directory: Path, process: subprocess.Popen[bytes]) -> MariaDb:
    """Wait until a server that was started answers."""
    server = MariaDb(directory / "socket")
    deadline = time.monotonic() + 60
    while not server.is_up():
        assert process.poll() is None, (directory / "log").read_text()
        assert time.monotonic() < deadline, "MariaDB does not answer"
        time.sleep(0.1)
    return server


def insert(table: str, rows: Iterable[Sequence[object]]) -> str:
    """Return the statement that inserts rows."""
    values = ",\n".join(f"({', '.join(map(_literal, row))})" for row in rows)
    return f"INSERT INTO {table} VALUES {values};\n"


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(int(value))
        case float():
            return f"{value!r}" if "e" in repr(value) else f"{value!r}e0"
        case str():
            return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
        case other:
            return str(other)
