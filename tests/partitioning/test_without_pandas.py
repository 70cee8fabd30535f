"""pandas is hidden in a process of its own, where asking for it is no error and importing it is the usual one."""

import subprocess
import sys

SCRIPT = """
import importlib.util, sys
from partitioning.without_pandas import hide_pandas
hide_pandas()
hide_pandas()
assert len([one for one in sys.meta_path if type(one).__name__ == "_NoPandas"]) == 1
assert importlib.util.find_spec("pandas")
try:
    import pandas
except ModuleNotFoundError as error:
    assert error.name == "pandas"
else:
    raise AssertionError
import astropy.table, pyarrow
assert pyarrow.array([1, None]).to_pylist() == [1, None]
assert "pandas" not in sys.modules
"""


def test_pandas_is_hidden() -> None:
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", SCRIPT], check=True)
