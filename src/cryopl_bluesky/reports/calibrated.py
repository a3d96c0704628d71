"""The calibrations that a run names, and their use: response of the SPADs, length scale, dark frame."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cryopl_bluesky.catalog.load import RunData, load_measurement
from cryopl_bluesky.catalog.queries import RunNotFoundError, find_run
from cryopl_bluesky.figures._data import Decay, Picture, SpectralMap, TrplMap
from cryopl_bluesky.figures.run_data import mean_frame
from cryopl_bluesky.reports.calibrations import report_irf, report_scale

if TYPE_CHECKING:
    from tiled.client.container import Container

APPLIED = ("irf", "scale", "dark")
"""Kinds that are applied; the others are named in the reports, no more."""

Timed = TypeVar("Timed", Decay, TrplMap)


@dataclass
class Calibrations:
    """Calibration runs of one measurement.

    Attributes:
        runs: by kind; {} where the profile's values are used.
        used: kinds that went into the numbers so far.
        notes: what was taken from them.
    """

    runs: Mapping[str, RunData] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def with_response(self, data: Timed) -> Timed:
        """Decays with the measured width of the response, if it is known; the wider of the two SPADs counts."""
        if "irf" not in self.runs:
            return data
        report = report_irf(self.runs["irf"])
        if not report.by_spad:
            self.notes.append(f"the irf run gives no response ({'; '.join(report.warnings)}): the profile's is used")
            return data
        widest = max((found.fwhm_ps for found in report.by_spad.values()), key=lambda width: width.value)
        self._took("irf", f"response: Gaussian of the measured FWHM, {widest}")
        return replace(data, irf_fwhm_ps=widest.value, irf=None)

    def with_scale(self, data: Picture, run: RunData) -> Picture:
        """An image with the measured length scale, if it is known."""
        if "scale" not in self.runs:
            return data
        report = report_scale(self.runs["scale"])
        if report.nm_per_px is None:
            self.notes.append(f"the scale run gives none ({'; '.join(report.warnings)}): that of the lenses is used")
            return data
        self._took("scale", f"scale: {report.nm_per_px} per unbinned pixel, from {report.beads} bead(s)")
        binning = int(run.config["camera_binning"])
        return replace(data, nm_per_px=report.nm_per_px.value * binning, scale_rel_err=report.rel_err)

    def with_dark(self, data: SpectralMap) -> SpectralMap:
        """A spectral image with its dark frame, if there is one of the same shape."""
        if "dark" not in self.runs:
            return data
        dark = np.asarray(mean_frame(self.runs["dark"]))
        if dark.shape != np.asarray(data.counts).shape:
            self.notes.append(f"the dark run has frames of {dark.shape}: the camera's baseline is subtracted instead")
            return data
        frames = int(self.runs["dark"].frames["camera_image"].shape[0])
        self._took("dark", f"dark frame: mean of {frames} frames")
        return replace(data, dark_adu=dark, dark_frames=frames)

    def _took(self, kind: str, what: str) -> None:
        self.used.append(kind)
        self.notes.append(f"{what} (run {self.runs[kind].start['uid'][:8]})")


def load_calibrations(client: Container, run: RunData) -> dict[str, RunData]:
    """Read the calibration runs that a run names and that reports apply.

    Args:
        client: Tiled client of the catalog's root.
        run: the measurement.

    Returns:
        Runs by kind, for `analyse_run(run, calibrations=...)`; those that are not in this catalog are left out, and
        the report says that they were not applied.
    """
    found = {}
    for kind, uid in (run.start.get("calibration") or {}).items():
        if kind in APPLIED:
            with contextlib.suppress(RunNotFoundError):
                found[kind] = load_measurement(find_run(client, uid))
    return found
