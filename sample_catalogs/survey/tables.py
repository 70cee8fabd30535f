"""Columns of the eight tables, with the names and types of Rubin's DP0.2 and DP1."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from sample_catalogs.survey.config import SurveyConfig
from sample_catalogs.survey.photometry import BANDS

__all__ = ["FORCED_POSITION_COLUMNS", "LIGHT_CURVE_TABLES", "padding_fields", "table_schemas", "to_table"]

LIGHT_CURVE_TABLES = ("Source", "ForcedSource", "DiaObject", "DiaSource")
"""Tables that are left out of a survey without sources."""

FORCED_POSITION_COLUMNS = ("coord_ra", "coord_dec")
"""Columns of ForcedSource that DP2 dropped."""

_BOOL, _INT, _LONG = pa.bool_(), pa.int32(), pa.int64()
_FLOAT, _DOUBLE, _STRING, _TIME = pa.float32(), pa.float64(), pa.string(), pa.timestamp("us")


def _schema(*groups: tuple[str, Any]) -> pa.Schema:
    """Build a schema from groups of names that share a type; the groups are in column order."""
    return pa.schema([(name, type_) for names, type_ in groups for name in names.split()])


def _object_schema() -> pa.Schema:
    base = _schema(
        ("objectId parentObjectId tract patch", _LONG),
        ("coord_ra coord_dec", _DOUBLE),
        ("coord_raErr coord_decErr ebv", _FLOAT),
        ("refBand", _STRING),
        ("refExtendedness", _FLOAT),
        ("detect_isPrimary", _BOOL),
        ("deblend_nChild", _INT),
        ("shape_xx shape_yy shape_xy", _FLOAT),
    )
    per_band = [
        field
        for b in BANDS
        for field in _schema(
            (f"{b}_psfFlux {b}_psfFluxErr {b}_psfMag {b}_psfMagErr", _FLOAT),
            (f"{b}_cModelFlux {b}_cModelFluxErr {b}_cModelMag {b}_cModelMagErr", _FLOAT),
            (f"{b}_extendedness", _FLOAT),
            (f"{b}_psfFlux_flag {b}_cModel_flag", _BOOL),
        )
    ]
    return pa.schema([*base, *per_band])


_SCHEMAS = {
    "Visit": _schema(
        ("visit", _LONG),
        ("physical_filter band", _STRING),
        ("ra dec skyRotation azimuth altitude zenithDistance airmass seeing", _DOUBLE),
        ("expTime expMidptMJD obsStartMJD", _DOUBLE),
        ("expMidpt obsStart", _TIME),
    ),
    "Object": _object_schema(),
    "TruthSummary": _schema(
        ("id_truth_type", _STRING),
        ("ra dec", _DOUBLE),
        ("redshift", _FLOAT),
        ("is_pointsource", _INT),
        ("truth_type", _LONG),
        ("mag_r", _FLOAT),
        (" ".join(f"flux_{b}" for b in BANDS), _FLOAT),
    ),
    "MatchesTruth": _schema(
        ("id_truth_type", _STRING),
        ("match_objectId", _LONG),
        ("match_candidate", _BOOL),
        ("match_count", _INT),
        ("match_chisq", _DOUBLE),
    ),
    "Source": _schema(
        ("sourceId visit detector", _LONG),
        ("band", _STRING),
        ("ra dec coord_ra coord_dec x y psfFlux psfFluxErr ap12Flux ap12FluxErr", _DOUBLE),
        ("extendedness ixx iyy ixy", _DOUBLE),
        ("psfFlux_flag pixelFlags_saturated calib_photometry_used", _BOOL),
    ),
    "ForcedSource": _schema(
        ("objectId parentObjectId", _LONG),
        ("coord_ra coord_dec", _DOUBLE),
        ("visit detector", _LONG),
        ("band", _STRING),
        ("psfFlux psfFluxErr", _FLOAT),
        ("psfFlux_flag", _BOOL),
        ("psfDiffFlux psfDiffFluxErr", _FLOAT),
        ("detect_isPrimary", _BOOL),
        ("tract patch", _LONG),
    ),
    "DiaObject": _schema(
        ("diaObjectId", _LONG),
        ("ra dec", _DOUBLE),
        ("nDiaSources", _LONG),
        ("radecMjdTai g_psfFluxMean r_psfFluxMean i_psfFluxMean", _DOUBLE),
        ("g_psfFluxNdata r_psfFluxNdata i_psfFluxNdata", _DOUBLE),
    ),
    "DiaSource": _schema(
        ("diaSourceId diaObjectId ssObjectId visit detector", _LONG),
        ("band", _STRING),
        ("midpointMjdTai ra dec", _DOUBLE),
        ("psfFlux psfFluxErr scienceFlux scienceFluxErr", _FLOAT),
        ("snr", _DOUBLE),
        ("reliability", _FLOAT),
        ("isDipole", _BOOL),
        ("extendedness", _DOUBLE),
    ),
}


def padding_fields(count: int) -> list[pa.Field]:
    """Return the fields of the padding columns: the bands take turns, with two floats and a flag each."""
    return [pa.field(f"{BANDS[k // 3 % 6]}_pad{k:04d}", _BOOL if k % 3 == 2 else _FLOAT) for k in range(count)]


def table_schemas(config: SurveyConfig) -> dict[str, pa.Schema]:
    """Return the schema of each table that the survey will have."""
    schemas = {
        name: schema for name, schema in _SCHEMAS.items() if config.with_sources or name not in LIGHT_CURVE_TABLES
    }
    schemas["Object"] = pa.schema([*schemas["Object"], *padding_fields(config.padding_columns)])
    if config.with_sources and not config.with_forced_positions:
        forced = schemas["ForcedSource"]
        schemas["ForcedSource"] = pa.schema([field for field in forced if field.name not in FORCED_POSITION_COLUMNS])
    return schemas


def to_table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Arrange columns in the order and types of a schema.

    Parameters
    ----------
    columns
        Values by column name: numpy arrays of any numeric type, Arrow arrays or sequences. NaN stays NaN.
    schema
        Columns wanted; others are left out.
    """
    return pa.Table.from_arrays([_to_array(columns[field.name], field.type) for field in schema], schema=schema)


def _to_array(values: Any, type_: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values.cast(type_)
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return pa.array(values.astype(type_.to_pandas_dtype(), copy=False), type_)
    return pa.array(values, type_)
