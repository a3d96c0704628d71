"""Andor .sif: frames of a camera, with a wavelength axis if a spectrograph was attached."""

from __future__ import annotations

import re
import warnings as python_warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contents import FileFacts, FileReadError, FramesFile

MAGIC = b"Andor Technology Multi-Channel File"
_HEADER_BYTES = 65_536
_SPECTROGRAPH = re.compile(
    r"\n65540 \d+ \d+ ([\d.]+) \d+ \d+ ([\d.]+) ([^\n]*)\n(\d) ([\d.]+)\n[^\n]*\n\d (\S+)\n"
)
"""Centre nm, lines/mm, blaze, slit present, slit um, model: the reader drops or misnames them."""
_NO_CALIBRATION = [0.0, 1.0, 0.0, 0.0]


def read_sif(path: Path, facts: FileFacts, recover: bool) -> FramesFile:
    """Read the frames of a .sif file.

    The spectrograph's block in the header holds placeholders when none was attached; it is taken only where the
    frames have a wavelength axis. The original file name is left out: it is the path of a user's folder.

    Args:
        path: of the file.
        facts: name and hash of the file, to be completed.
        recover: take the whole frames that are there of a file that ends too early.

    Raises:
        FileReadError: damaged header, or frames are missing.
    """
    import sif_parser

    warnings = list(facts.warnings)
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # said in our own words below
        try:
            read, info = sif_parser.np_open(str(path), ignore_corrupt=True)
            frames = np.asarray(read, np.float64)
        except (ValueError, SyntaxError, IndexError, KeyError, UnicodeDecodeError, MemoryError) as error:
            raise FileReadError(
                f"{path.name} is corrupt: its header cannot be read ({error}); copy it again from the camera's PC, or "
                "export it as .asc"
            ) from error
    announced = int(info["NumberOfFrames"])
    if len(frames) < announced:
        lost = f"{path.name} is corrupt: its header announces {announced} frames, {len(frames)} whole ones are there"
        if not recover or not len(frames):
            raise FileReadError(f"{lost}; copy it again, or take what is there with --recover (recover=True)")
        warnings.append(lost)
    axis = _axis(info, frames.shape[2], len(frames))
    header: dict[str, Any] = {
        "camera": info["DetectorType"], "exposure_s": info["ExposureTime"],
        "accumulations": info["AccumulatedCycles"], "detector_temperature_C": info["DetectorTemperature"],
        "time": info["ExperimentTime"], "column_binning": info["xbin"], "row_binning": info["ybin"],
    }  # fmt: skip
    if axis is not None:
        header |= _spectrograph(path)
    complete = FileFacts(
        facts.name, facts.sha256, f"sif-parser {version('sif-parser')}", header,
        ("electrons per count", "read noise", "sample", "temperature"), tuple(warnings),
    )  # fmt: skip
    return FramesFile(complete, frames, axis)


def _axis(info: dict[str, Any], columns: int, frames: int) -> NDArray[np.float64] | None:
    """Wavelengths: a cubic of the pixel counted from 1; None without a calibration."""
    pixel = np.arange(1, columns + 1, dtype=np.float64)
    keys = [f"Calibration_data_for_frame_{number + 1}" for number in range(frames)]
    if all(key in info for key in keys):
        axes = np.stack([np.polynomial.polynomial.polyval(pixel, info[key]) for key in keys])
        return axes[0] if (axes == axes[0]).all() else axes
    coefficients = info.get("Calibration_data")
    if not coefficients or list(coefficients) == _NO_CALIBRATION or info["FrameAxis"] != b"Wavelength":
        return None
    return np.polynomial.polynomial.polyval(pixel, coefficients)


def _spectrograph(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found = _SPECTROGRAPH.search(file.read(_HEADER_BYTES).decode("latin1"))
    if found is None:
        return {}
    centre_nm, lines_per_mm, blaze, has_slit, slit_um, model = found.groups()
    return {
        "spectrograph": model, "centre_wavelength_nm": float(centre_nm), "lines_per_mm": float(lines_per_mm),
        "blaze": blaze.strip(), **({"slit_um": float(slit_um)} if has_slit == "1" else {}),
    }  # fmt: skip
