"""Compare two answers to a copied query; tell how they differ, never what a user looked for."""

import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .shadow_answers import Answered
from .shadow_queries import shown_name

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["compared", "readable"]

_ERROR: Final = re.compile(rb"""<INFO[^>]*\bname=["']QUERY_STATUS["'][^>]*\bvalue=["']ERROR""", re.IGNORECASE)
_ERROR_TURNED: Final = re.compile(rb"""<INFO[^>]*\bvalue=["']ERROR["'][^>]*\bname=["']QUERY_STATUS""", re.IGNORECASE)
_OVERFLOW: Final = re.compile(rb"""\bvalue=["']OVERFLOW""", re.IGNORECASE)
_HEAD: Final = 1 << 16
"""Bytes of a VOTable in which an error stands; OVERFLOW stands at its end."""

_MOST_INFLATED: Final = 1 << 28
"""Most bytes of an answer that came compressed."""


@dataclass(frozen=True)
class Readable:
    """An answer that was read."""

    table: "pa.Table"
    is_cut: bool


class _NotReadableError(Exception):
    """Why an answer cannot be compared, in words of our own."""


def compared(old: Answered, new: Answered, parameters: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the verdict of two answers for the log: ``equal``, ``equal within rules``, ``different`` or else.

    Never raises: whatever goes wrong is a verdict, ``not compared``.
    """
    try:
        states = _has_failed(old), _has_failed(new)
        if any(states):
            verdict = {(True, True): "both failed", (True, False): "old failed", (False, True): "new failed"}[states]
            return {"verdict": verdict}
        if old.body is None or new.body is None:
            return {"verdict": "not compared", "why": "too large"}
        return _verdict(readable(old), readable(new), dict(parameters))
    except _NotReadableError as error:
        return {"verdict": "not compared", "why": str(error)}
    except Exception as error:  # noqa: BLE001 - a fault here must not stop the copies; its text may hold values
        return {"verdict": "not compared", "why": f"fault: {type(error).__name__}"}


def _has_failed(answer: Answered) -> bool:
    if answer.status is None or answer.status >= 400:
        return True
    if answer.body is None or ("xml" not in answer.content_type and "votable" not in answer.content_type):
        return False
    head = _decoded(answer)[:_HEAD]
    return _ERROR.search(head) is not None or _ERROR_TURNED.search(head) is not None


def _verdict(old: Readable, new: Readable, parameters: dict[str, str]) -> dict[str, Any]:
    from .compare import Rules, compare_results  # noqa: PLC0415 - the proxy does without it
    from .compare.shape import shape_of  # noqa: PLC0415

    is_mysql = parameters.get("LANG", "ADQL").upper().startswith("QSERV")
    cut = (old.is_cut and new.is_cut) or _are_full(old, new, parameters.get("MAXREC", ""))
    rules = Rules(collation=is_mysql, nan_is_null=True, cut=cut, shown=0)
    query = parameters["QUERY"]
    found = compare_results(old.table, new.table, rules.of(shape_of(query, "QSERV" if is_mysql else "ADQL")))
    return {
        "verdict": str(found.verdict),
        "rows": {"old": old.table.num_rows, "new": new.table.num_rows},
        "rules": {str(rule): count for rule, count in found.rules.items()},
        "differences": [
            {"kind": str(one.kind), "column": one.column and shown_name(one.column, query), "count": one.count}
            for one in found.differences
        ],
    }


def _are_full(old: Readable, new: Readable, most: str) -> bool:
    """Tell whether both answers have as many rows as were asked for: forms other than VOTable do not say OVERFLOW."""
    return most.isdecimal() and old.table.num_rows == new.table.num_rows == int(most) > 0


def readable(answer: Answered) -> Readable:
    """Return an answer as a table of Arrow.

    Raises
    ------
    _NotReadableError
        If it is of a form that this program does not read.
    """
    body, kind = _decoded(answer), answer.content_type.partition(";")[0].strip().lower()
    match kind:
        case "application/vnd.apache.arrow.stream":
            import pyarrow as pa  # noqa: PLC0415 - the proxy does without it

            return Readable(pa.ipc.open_stream(body).read_all(), is_cut=False)
        case "application/vnd.apache.parquet" | "application/x-parquet":
            import pyarrow.parquet as pq  # noqa: PLC0415

            return Readable(pq.read_table(io.BytesIO(body)), is_cut=False)
        case "text/csv" | "text/tab-separated-values":
            return Readable(_separated(body, "," if kind == "text/csv" else "\t"), is_cut=False)
        case "application/x-votable+xml" | "text/xml" | "application/xml":
            return Readable(_votable(body), is_cut=_OVERFLOW.search(body[-_HEAD:]) is not None)
        case _:
            raise _NotReadableError(f"form {kind or 'unknown'}")


def _decoded(answer: Answered) -> bytes:
    match answer.content_encoding.strip().lower():
        case "" | "identity":
            return answer.body or b""
        case "gzip" | "x-gzip":
            return _inflated(answer.body or b"", zlib.MAX_WBITS | 16)
        case "deflate":
            return _inflated(answer.body or b"", zlib.MAX_WBITS)
        case other:
            raise _NotReadableError(f"encoding {other}")


def _inflated(body: bytes, window: int) -> bytes:
    inflater = zlib.decompressobj(window)
    content = inflater.decompress(body, _MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise _NotReadableError("too large when decompressed")
    if not inflater.eof or inflater.unused_data:
        raise _NotReadableError("damaged, or compressed in several parts")
    return content


def _separated(body: bytes, delimiter: str) -> "pa.Table":
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    if not body.partition(b"\n")[2].strip():
        names = body.decode().strip().split(delimiter) if body.strip() else []
        return pa.table({name.strip('"'): pa.array([], pa.string()) for name in names})
    return csv.read_csv(io.BytesIO(body), parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True))


def _votable(body: bytes) -> "pa.Table":
    import warnings  # noqa: PLC0415

    import pyarrow as pa  # noqa: PLC0415
    from astropy.io import votable  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = votable.parse(io.BytesIO(body), verify="ignore").get_first_table()
    columns = [_column(table.array[field.ID]) for field in table.fields]
    return pa.Table.from_arrays(columns, names=[field.name for field in table.fields])


def _column(values: Any) -> "pa.Array":
    """Return a masked array of astropy in Arrow: what is masked, and NaN, which VOTable has for it, is NULL."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    mask = np.ma.getmaskarray(values)
    data = np.ma.getdata(values)
    if data.ndim > 1 or data.dtype.kind not in "biuf":
        texts = (str(one) if isinstance(one, str) else str(np.asarray(one).tolist()) for one in data)
        masked: Any = np.asarray(mask).reshape(len(data), -1).all(axis=1)
        return pa.array([None if gone else text for text, gone in zip(texts, masked, strict=True)], pa.string())
    if data.dtype.kind == "f":
        mask = mask | np.isnan(data)
    return pa.array(data.astype(data.dtype.newbyteorder("=")), mask=mask)
