"""The peer of `bench_partition`: hats-import makes the same catalog, margin and id index of the same files.

It runs in an environment of its own, which has nothing of ours::

    python3 -m venv PEER && PEER/bin/pip install -r benchmarks/peer_hats_import.txt
    python benchmarks/bench_partition.py --rows 5000000 --peer hats-import --peer-python PEER/bin/python

As recommended by its documentation a Dask cluster of single-threaded workers does the work, one for each core.
"""

import argparse
import importlib
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the three steps and print seconds of each as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="directory of Parquet files")
    parser.add_argument("--output", type=Path, required=True, help="empty directory")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--target-rows", type=int, default=1_000_000, help="rows at which a pixel is split")
    parser.add_argument("--margin-arcsec", type=float, default=10.0)
    options = parser.parse_args()
    print(json.dumps(run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Start a cluster, run the steps one after the other, and return what they took."""
    scratch = options.output / "scratch"
    with peer("dask.distributed", "Client")(
        n_workers=options.workers, threads_per_worker=1, local_directory=str(scratch)
    ) as client:
        steps = {name: timed(step, options, client) for name, step in STEPS.items()}
    sizes = {name: folder_mb(options.output / name) for name in STEPS}
    return {"steps_s": steps, "output_mb": sizes, "versions": versions()}


def make_catalog(options: argparse.Namespace, client: Any) -> None:
    """Import the input as a catalog."""
    arguments = peer("hats_import.catalog.arguments", "ImportArguments")(
        output_path=options.output,
        output_artifact_name="catalog",
        input_file_list=sorted(options.input.glob("*.parquet")),
        file_reader="parquet",
        ra_column="ra",
        dec_column="dec",
        pixel_threshold=options.target_rows,
        **common(options),
    )
    in_cluster(arguments, client)


def make_margin(options: argparse.Namespace, client: Any) -> None:
    """Make the margin of the catalog."""
    arguments = peer("hats_import.margin_cache.margin_cache_arguments", "MarginCacheArguments")(
        output_path=options.output,
        output_artifact_name="margin",
        input_catalog_path=options.output / "catalog",
        margin_threshold=options.margin_arcsec,
        **common(options),
    )
    in_cluster(arguments, client)


def make_index(options: argparse.Namespace, client: Any) -> None:
    """Make the id index of the catalog."""
    arguments = peer("hats_import.index.arguments", "IndexArguments")(
        output_path=options.output,
        output_artifact_name="index",
        input_catalog_path=options.output / "catalog",
        indexing_column="objectId",
        **common(options),
    )
    in_cluster(arguments, client)


STEPS: dict[str, Callable[[argparse.Namespace, Any], None]] = {
    "catalog": make_catalog,
    "margin": make_margin,
    "index": make_index,
}


def peer(module: str, name: str) -> Any:
    """Return something of the peer's, which only its environment has."""
    return getattr(importlib.import_module(module), name)


def common(options: argparse.Namespace) -> dict[str, Any]:
    """Return arguments that all steps share."""
    return {"progress_bar": False, "dask_n_workers": options.workers, "tmp_dir": options.output / "scratch"}


def in_cluster(arguments: Any, client: Any) -> None:
    """Run one step."""
    peer("hats_import.pipeline", "pipeline_with_client")(arguments, client)


def timed(step: Callable[[argparse.Namespace, Any], None], options: argparse.Namespace, client: Any) -> float:
    """Return the seconds that one step takes."""
    start = time.perf_counter()
    step(options, client)
    return round(time.perf_counter() - start, 2)


def folder_mb(directory: Path) -> float:
    """Return the size of all files below a directory."""
    return round(sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6, 1)


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter."""
    return {name: version(name) for name in ("hats-import", "hats", "dask", "pyarrow")}


if __name__ == "__main__":
    main()
