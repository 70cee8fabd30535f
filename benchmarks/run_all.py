"""Run every benchmark and keep its JSON: ``python -m benchmarks.run_all --out benchmarks/results``.

Each runs in a process of its own, one after the other; the whole takes about ten minutes on two cores.
"""

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS = {
    "bench_planner": [],
    "bench_partition": ["--rows", "10000000"],
    "bench_streaming": [],
    "bench_http_streaming": [],
    "bench_gzip": [],
    "bench_cones": ["--rows", "10000000"],
    "bench_near": [],
    "bench_ids": [],
    "bench_service": ["--rows", "3000000", "--kills", "60"],
}


def main() -> None:
    """Run the benchmarks; fail if one does."""
    parser = argparse.ArgumentParser(description="Run every benchmark and keep its JSON.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    failed = [name for name, options in BENCHMARKS.items() if not run(name, options, out / f"{name}.json")]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(name: str, options: list[str], path: Path) -> bool:
    """Run one benchmark; return whether it succeeded."""
    print(f"{name} -> {path}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--json", str(path)]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    main()
