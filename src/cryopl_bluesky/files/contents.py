"""What is in a file of another program, as typed plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FileReadError(ValueError):
    """A file that cannot be read, or that is not what its name says; the message says what to do."""


@dataclass(frozen=True)
class FileFacts:
    """Where the data are from.

    Attributes:
        name: name of the file, without its folder.
        sha256: of its bytes.
        reader: program and version that read it.
        header: what the file says about the measurement, plain values with units in the names.
        missing: what the analysis would like to know and the file does not say.
        warnings: what was wrong with the file, one sentence each.
    """

    name: str
    sha256: str
    reader: str
    header: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PhotonFile:
    """Photons one by one (.ptu).

    Attributes:
        facts: where they are from.
        mode: "T2": times of all clicks; "T3": each click with the number of its laser pulse and its delay behind it.
        times_ps: times since the start, (n,), not decreasing.
        channels: detector of each click, numbered as in the file, (n,).
        duration_s: of the acquisition, up to its last record.
        records: in the file.
        dropped: records that are no photons (overflows and markers).
        period_ps: laser period; None in T2 mode, where the file does not know it.
        tcspc_ps: bin width of `delay_bins`; None in T2 mode.
        pulses: number of the laser pulse of each click, (n,), or None.
        delay_bins: delay behind that pulse in bins, (n,), or None.
    """

    facts: FileFacts
    mode: str
    times_ps: NDArray[np.int64]
    channels: NDArray[np.int8]
    duration_s: float
    records: int
    dropped: int
    period_ps: float | None = None
    tcspc_ps: float | None = None
    pulses: NDArray[np.int64] | None = None
    delay_bins: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class FramesFile:
    """Frames of a camera (.sif, .asc).

    Attributes:
        facts: where they are from.
        frames: counts, summed over binned rows and accumulations, (frames, rows, columns).
        wavelength_nm: of the columns, (columns,), or (frames, columns) where every frame has its own; None for an
            image without wavelength axis.
    """

    facts: FileFacts
    frames: NDArray[np.float64]
    wavelength_nm: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class DecayFile:
    """A decay histogram or an instrument response (text).

    Attributes:
        facts: where it is from.
        counts: per channel, (n,).
        binwidth_ps: width of a channel.
    """

    facts: FileFacts
    counts: NDArray[np.int64]
    binwidth_ps: float


Contents = PhotonFile | FramesFile | DecayFile
