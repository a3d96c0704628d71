"""What a series will take: time, disk and dose of each step, before anything moves.

Times of moves are those of facts/andor.md, section 9.2, and of the flip mounts; the estimates become exact where it
matters: settling, from past series, and exposures, from the recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.devices.settle_estimate import SettleEstimate
from cryopl_bluesky.plans.beam_path import BeamPath
from cryopl_bluesky.plans.steps import SeriesStep

TURRET_S = 35.0
PORT_S = 1.5
FLIP_S = 1.0
LASER_ON_S = 1.5
"""Unlocking, verifying, ramping."""
WAVELENGTH_S, WAVELENGTH_S_PER_NM = 0.1, 0.005
SLIT_S, SLIT_S_PER_UM = 0.2, 1e-3
READOUT_S = 0.05
"""From the end of an exposure to the begin of the next one."""
BY_HAND_S = 60.0
"""A person takes a filter out, or switches a lamp on."""
RUN_S = 0.5
"""Opening and closing a run, reading the state of the instruments."""

FRAME_BYTES = 2 * 2048**2 / 2.9
"""A frame, compressed; smaller when it is binned."""
TAG_BYTES = 4.4
TAGS_PER_CLICK = 2.0
"""With the filtered sync, each click brings a pulse of the laser along."""
TAG_FILE_BYTES_S = 1.2e5
"""What a file grows by while it is kept readable after a power cut, whatever is counted."""
RUN_BYTES, EVENT_BYTES = 1e5, 4e4
"""Documents of a run and of an event, in journal and catalog."""


@dataclass(frozen=True)
class StepEstimate:
    """What one step will take.

    Attributes:
        step: which.
        settle_s: time until the temperature is settled; 0 unless it is the first step there.
        moves_s: moving the beam path, switching light on and off.
        exposure_s: detectors at work, at most.
        readout_s: between exposures.
        lit_s: light on the sample.
        disk_bytes: what it stores.
    """

    step: SeriesStep
    settle_s: float
    moves_s: float
    exposure_s: float
    readout_s: float
    lit_s: float
    disk_bytes: float

    @property
    def duration_s(self) -> float:
        """All of it."""
        return self.settle_s + self.moves_s + self.exposure_s + self.readout_s


def estimate_series(
    ins: Instruments, steps: Sequence[SeriesStep], settle: SettleEstimate, start_K: float, plate_K: float,
    rate_Hz: float,
) -> list[StepEstimate]:
    """Estimate the steps of a series in their order.

    Args:
        ins: the instruments; nothing moves.
        steps: what is to be measured.
        settle: estimates settle times.
        start_K: temperature before the first step.
        plate_K: cold plate before the first step.
        rate_Hz: usual count rate of one SPAD, for the size of tag files.
    """
    estimates: list[StepEstimate] = []
    last_K, last_path = start_K, BeamPath(port="camera")
    settled_K: float | None = None
    for step in steps:
        settle_s = 0.0
        if step.temperature_K != settled_K:
            settle_s = settle.seconds(last_K, step.temperature_K, plate_K)
            plate_K = min(plate_K, step.temperature_K)
            last_K = settled_K = step.temperature_K
        exposures, path = step.measurement.exposures, step.measurement.path
        lit = step.measurement.excitation is not None
        scan_s = (WAVELENGTH_S + WAVELENGTH_S_PER_NM * exposures.step_nm) if exposures.step_nm else 0.0
        readout_s = exposures.number * READOUT_S + (exposures.number - 1) * scan_s
        counting_s = exposures.number * exposures.exposure_s
        estimates.append(StepEstimate(
            step, settle_s, RUN_S + moves_s(last_path, path) + (LASER_ON_S if lit else 0.0), counting_s, readout_s,
            counting_s + readout_s if lit else 0.0, _disk_bytes(ins, step, rate_Hz),
        ))
        last_path = path
    return estimates


def moves_s(before: BeamPath, after: BeamPath) -> float:
    """Time from one beam path to the next; what is driven moves at once, the wavelength after the turret.

    Between measurements the exit port is at the camera.
    """
    parts_s = [0.0]
    if before.lines_per_mm != after.lines_per_mm:
        parts_s.append(TURRET_S)
    if after.port == "hbt":
        parts_s.append(2 * PORT_S)  # there and, at the end, back
    if (before.l1, before.l5) != (after.l1, after.l5):
        parts_s.append(FLIP_S)
    if before.entrance_slit_um != after.entrance_slit_um:
        parts_s.append(SLIT_S + SLIT_S_PER_UM * abs(after.entrance_slit_um - before.entrance_slit_um))
    hands = ((before.long_pass, after.long_pass), (before.lamp, after.lamp))
    by_hand_s = BY_HAND_S * sum(first != second for first, second in hands)
    moved_nm = abs(after.centre_wavelength_nm - before.centre_wavelength_nm) if after.dispersed else 0.0
    return by_hand_s + max(parts_s) + (WAVELENGTH_S + WAVELENGTH_S_PER_NM * moved_nm if moved_nm else 0.0)


def _disk_bytes(ins: Instruments, step: SeriesStep, rate_Hz: float) -> float:
    exposures = step.measurement.exposures
    documents = RUN_BYTES + exposures.number * EVENT_BYTES
    frames = exposures.number * FRAME_BYTES / int(ins.camera.binning.get()) ** 2 if exposures.frames else 0.0
    tags_Hz = 2 * rate_Hz * TAGS_PER_CLICK
    counting_s = exposures.number * exposures.exposure_s
    return documents + frames + (counting_s * (tags_Hz * TAG_BYTES + TAG_FILE_BYTES_S) if exposures.tags else 0.0)
