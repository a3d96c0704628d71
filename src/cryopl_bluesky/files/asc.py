"""Andor Solis .asc: a spectrum or image as text, with a footer that tells how it was taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .contents import FileFacts, FileReadError, FramesFile
from .text import key_values, read_table

_FOOTER = {
    "Exposure Time (secs)": "exposure_s", "Number of Accumulations": "accumulations",
    "Temperature (C)": "detector_temperature_C", "Wavelength (nm)": "centre_wavelength_nm",
    "Grating Groove Density (l/mm)": "lines_per_mm", "Input Side Slit Width (um)": "slit_um",
    "EM Gain level": "em_gain",
}  # fmt: skip
_FOOTER_TEXT = {
    "Date and Time": "created", "Model": "camera", "Readout Mode": "readout_mode", "Grating Blaze": "blaze",
    "Horizontally flipped": "horizontally_flipped", "Output Flipper Port": "port", "Filter": "filter",
}  # fmt: skip
_SPECTROGRAPHS = ("SR", "KY", "Kymera", "Shamrock")


def read_asc(path: Path, facts: FileFacts) -> FramesFile:
    """Read an .asc file.

    One line per detector column: its wavelength (or number), then one field per row. Frames of a series stand one
    after another. The numbers have 6 digits, so counts are rounded to 5e-6 of their value.

    Args:
        path: of the file.
        facts: name and hash of the file, to be completed.

    Raises:
        FileReadError: no columns of numbers, or frames of different lengths.
    """
    table = read_table(path)
    values = np.array(table.rows)
    axis, counts = values[:, 0], values[:, 1:]
    begins = [0, *(np.flatnonzero(axis[1:] == axis[0]) + 1).tolist()]
    columns = begins[1] if len(begins) > 1 else len(axis)
    if len(axis) % columns or begins != list(range(0, len(axis), columns)):
        raise FileReadError(f"{path.name} is truncated: its frames have different lengths; export it again")
    frames = counts.reshape(len(begins), columns, -1).transpose(0, 2, 1)
    wavelength_nm = axis[:columns]
    is_pixels = bool((wavelength_nm == np.arange(1, columns + 1)).all())
    complete = FileFacts(
        facts.name, facts.sha256, "cryopl-bluesky", _header(table.after or table.before),
        ("electrons per count", "read noise", "sample", "temperature"), facts.warnings,
    )  # fmt: skip
    return FramesFile(complete, np.ascontiguousarray(frames), None if is_pixels else wavelength_nm)


def _header(lines: list[str]) -> dict[str, Any]:
    said = key_values(lines)
    header: dict[str, Any] = {name: said[key] for key, name in _FOOTER_TEXT.items() if key in said}
    for key, name in _FOOTER.items():
        if key in said:
            header[name] = float(said[key].replace(",", "."))
    for line in lines:  # the spectrograph's block begins with its name alone: "SR193i:"
        if line.startswith(_SPECTROGRAPHS) and line.rstrip().endswith(":"):
            header["spectrograph"] = line.strip().rstrip(":")
    return header
