"""Decay histograms and instrument responses as text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .contents import DecayFile, FileFacts, FileReadError
from .text import TextTable, key_values, read_table

_CALIBRATION = re.compile(r"([-+.,\deE]+)\s*(ps|ns|us|µs|ms|s)\s*/\s*(?:ch|bin)", re.IGNORECASE)
_TIME_AXIS = re.compile(r"\b(?:time|delay|t)\s*[\[(/]\s*(ps|ns|us|µs|ms|s)\b", re.IGNORECASE)
_PS = {"ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6, "ms": 1e9, "s": 1e12}


def has_time_axis(path: Path) -> bool:
    """Whether the text above the numbers of a file tells the width of a channel, as decays do."""
    head = "\n".join(read_table(path).before)
    return bool(_CALIBRATION.search(head) or _TIME_AXIS.search(head))


def read_decay_text(path: Path, facts: FileFacts) -> DecayFile:
    """Read a decay: two columns, channel and counts, below a header that tells the width of a channel.

    The width is taken from "... ns/ch" in the header, or from a first column called "time (ns)" or the like.

    Args:
        path: of the file.
        facts: name and hash of the file, to be completed.

    Raises:
        FileReadError: no columns of numbers, no width, or counts that are not counts.
    """
    table = read_table(path)
    values = np.array(table.rows)
    counts = values[:, 1]
    if (counts < 0).any() or (counts != np.round(counts)).any():
        raise FileReadError(
            f"{path.name}: its second column holds negative or broken numbers; give raw counts, as they were recorded"
        )
    complete = FileFacts(
        facts.name, facts.sha256, "cryopl-bluesky", dict(key_values(table.before)),
        ("laser period", "wavelength", "sample", "temperature"), facts.warnings,
    )  # fmt: skip
    return DecayFile(complete, counts.astype(np.int64), _binwidth_ps(path, table, values[:, 0]))


def _binwidth_ps(path: Path, table: TextTable, axis: np.ndarray) -> float:
    head = "\n".join(table.before)
    if found := _CALIBRATION.search(head):
        width_ps = float(found[1].replace(",", ".")) * _PS[found[2].lower()]
    elif found := _TIME_AXIS.search(head):
        steps = np.diff(axis)
        if np.ptp(steps) > 0.01 * steps.mean():
            raise FileReadError(f"{path.name}: its time axis is not evenly spaced; export the channels as recorded")
        width_ps = float((axis[-1] - axis[0]) / (axis.size - 1)) * _PS[found[1].lower()]
    else:
        raise FileReadError(
            f"{path.name}: its header does not tell the width of a channel; add a line like "
            "'Time calibration: 0.05 ns/ch' above the numbers"
        )
    if not width_ps > 0:
        raise FileReadError(f"{path.name}: its channels are {width_ps:g} ps wide; correct the header")
    return width_ps
