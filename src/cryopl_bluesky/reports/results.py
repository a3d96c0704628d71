"""What every report is made of: numbers with error and unit, where they are from, and what a reader must know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

_HIDDEN = {"json": False}


@dataclass(frozen=True)
class Value:
    """A number with its standard error.

    Attributes:
        value: the number.
        error: standard error (1 sigma); None where none is known.
        unit: "" for a pure number.
    """

    value: float
    error: float | None
    unit: str

    def __str__(self) -> str:
        """Value and error to two digits of the error, with the unit."""
        unit = f" {self.unit}" if self.unit else ""
        if self.error is None or not math.isfinite(self.error) or self.error <= 0:
            return f"{self.value:.6g}{unit}"
        digits = 1 - math.floor(math.log10(self.error))
        if max(abs(self.value), self.error) >= 1e6 or digits > 9:
            return f"{self.value:.6g} ± {self.error:.2g}{unit}"
        digits = max(digits, 0)
        return f"{self.value:.{digits}f} ± {self.error:.{digits}f}{unit}"


@dataclass(frozen=True)
class FileOrigin:
    """The file that a report was made of.

    Attributes:
        name: of the file.
        sha256: of its bytes.
        reader: program and version that read it.
        header: what it says about the measurement.
        missing: what it does not say.
    """

    name: str
    sha256: str
    reader: str
    header: Mapping[str, Any]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a report are from.

    Attributes:
        target: in words, for example "g2, scan 12, run 1a2b3c4d".
        runs: uids of the runs.
        calibration: uid of the calibration run that belongs to the measurement, by what it calibrates.
        calibration_applied: those that went into the numbers; for the others the profile's values were used.
        files: files, for measurements that are not in the catalog.
        sample: its name, "" if unknown.
        setpoint_K: temperature asked for; None for a series and for files.
        temperature_K: mean of the sample sensor during the exposures, with its scatter.
        measured_with: software versions that took the data.
        analysed_with: software versions that computed the numbers.
    """

    target: str
    runs: tuple[str, ...] = ()
    calibration: Mapping[str, str] | None = None
    calibration_applied: tuple[str, ...] = ()
    files: tuple[FileOrigin, ...] = ()
    sample: str = ""
    setpoint_K: float | None = None
    temperature_K: Value | None = None
    measured_with: Mapping[str, str] | None = None
    analysed_with: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The standard analysis of a measurement; each measurement has a report class of its own with its numbers.

    Attributes:
        measurement: what was measured, for example "decay".
        origin: runs, files and calibrations.
        method: how the numbers were found.
        notes: what a reader must know to read the numbers.
        warnings: what speaks against them.
        data: the plain data behind the picture (`figures`); not in `to_dict`.
        fit: the whole fit behind the numbers, residuals included; not in `to_dict`.
    """

    measurement: str
    origin: Origin
    method: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    data: Any = field(default=None, repr=False, compare=False, metadata=_HIDDEN)
    fit: Any = field(default=None, repr=False, compare=False, metadata=_HIDDEN)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON values; what is not known is None, there is no NaN."""
        return plain(self)


def plain(value: Any) -> Any:
    """A result as plain JSON values: dataclasses and mappings become dicts, sequences lists, NaN None."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = [part.name for part in fields(value) if part.metadata.get("json", True)]
        return {name: plain(getattr(value, name)) for name in shown}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
