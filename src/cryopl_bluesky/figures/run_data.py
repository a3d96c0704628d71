"""From what the catalog holds of a run to plain data: what figures draw and reports compute with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from ..analysis.counting import check_count_rates
from ..analysis.g2 import delay_axis_ns
from ._data import G2, Decay, DelayCalibration, Picture, SpectralMap, Temperature, TrplMap

SPADS = ("spad1", "spad2")
Drawable = Picture | SpectralMap | TrplMap | Decay | G2 | DelayCalibration


class RunLike(Protocol):
    """A run with its data read, as `catalog.load.RunData`."""

    @property
    def start(self) -> Mapping[str, Any]:
        """Start document."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Configuration values by data key."""
        ...

    @property
    def data(self) -> Mapping[str, np.ndarray]:
        """Columns by data key, first axis = event."""
        ...

    @property
    def frames(self) -> Mapping[str, Any]:
        """Frames by data key, to be sliced."""
        ...

    def tags(self) -> Any:
        """The open time tags (`catalog.tags.Tags`), or None."""
        ...


def mean_frame(run: RunLike) -> np.ndarray:
    """Mean of a run's raw frames.

    Returns:
        float32 (height, width), ADU: a night holds many of them, and 24 bits are more than the camera has.
    """
    frames = run.frames["camera_image"]
    total = np.zeros(frames.shape[1:], np.float32)
    for index in range(frames.shape[0]):
        total += np.asarray(frames[index])
    return total / frames.shape[0]


def picture(run: RunLike) -> Picture:
    """The image of a run, above the camera's baseline."""
    image = mean_frame(run) - float(run.config["camera_baseline_adu"])
    optics = run.start["optics"]
    return Picture(image, _nm_per_px(run), scale_rel_err=optics["scale_rel_err"] or None)


def spectral_map(run: RunLike) -> SpectralMap:
    """The position-wavelength map of a spectral image; position 0 is the middle row."""
    counts = mean_frame(run)
    rows = np.arange(counts.shape[0]) - (counts.shape[0] - 1) / 2
    return SpectralMap(
        counts,
        run.data["spectrograph_wavelength_nm"][0],
        rows * _nm_per_px(run) * 1e-3,
        gain_e_per_adu=float(run.config["camera_gain_e_per_adu"]),
        offset_adu=float(run.config["camera_baseline_adu"]),
        read_noise_e=float(run.config["camera_read_noise_e"]),
        frames=run.frames["camera_image"].shape[0],
    )


def decay(run: RunLike) -> Decay:
    """The decay of both SPADs together, all events together (align the SPADs by their input delays)."""
    counts = (run.data["hbt_decay_spad1"] + run.data["hbt_decay_spad2"]).sum(axis=0)
    return Decay(_delay_ns(run, counts.size), counts, _period_ns(run), _irf_fwhm_ps(run))


def trpl_map(run: RunLike) -> TrplMap:
    """Decays of both SPADs together against wavelength (align the SPADs by their input delays)."""
    counts = run.data["hbt_decay_spad1"] + run.data["hbt_decay_spad2"]
    return TrplMap(
        run.data["spectrograph_centre_wavelength_nm"], _delay_ns(run, counts.shape[1]), counts,
        _period_ns(run), _irf_fwhm_ps(run),
    )


def g2(run: RunLike) -> G2:
    """The delay histogram of a g2 run, all wavelengths together."""
    counts = run.data["hbt_g2_histogram"].sum(axis=0)
    delay_ns = delay_axis_ns(counts.size, float(run.config["hbt_g2_binwidth_ps"]) * 1e-3)
    period_ns = _measured_period_ns(run)
    clicks1, clicks2 = (run.data[f"hbt_{spad}_counts"].astype(float) for spad in SPADS)
    pulses = run.data["hbt_capture_duration_s"] * 1e9 / period_ns
    accidentals = float((clicks1 * clicks2 / pulses).sum())
    return G2(delay_ns, counts, period_ns, accidentals=accidentals or None, warnings=rate_warnings(run, "g2"))


def channel_delay(run: RunLike) -> DelayCalibration:
    """The pair histogram of a channel-delay run with the delays that were set meanwhile."""
    clicks1, clicks2 = (int(run.data[f"hbt_{spad}_counts"].sum()) for spad in SPADS)
    applied1_ps, applied2_ps, sync_ps = (int(run.config[f"hbt_{role}_delay_ps"]) for role in (*SPADS, "sync"))
    return DelayCalibration(
        run.data["hbt_g2_histogram"].sum(axis=0), float(run.config["hbt_g2_binwidth_ps"]),
        _measured_period_ns(run), (clicks1, clicks2), (applied1_ps, applied2_ps, sync_ps), rate_warnings(run, "g2"),
    )


CONVERT: Mapping[str, Callable[[RunLike], Drawable]] = {
    "widefield_image": picture,
    "dark": picture,
    "spectral_image": spectral_map,
    "total_spectrum": spectral_map,
    "decay": decay,
    "trpl_map": trpl_map,
    "g2": g2,
    "channel_delay": channel_delay,
}
"""How the data of each measurement are read from its run."""
_PANELS = {"widefield_image": "picture", "spectral_image": "spectral_map", "trpl_map": "trpl_map", "g2": "g2"}
"""Which panel of a night a measurement fills."""


def rate_warnings(run: RunLike, measurement: Literal["decay", "g2"]) -> tuple[str, ...]:
    """What the highest rates of a run do to its decays or to its g2, one sentence each."""
    rates_Hz = {spad: float(run.data[f"hbt_{spad}_rate_Hz"].max()) for spad in SPADS}
    return tuple(finding.text for finding in check_count_rates(
        rates_Hz, float(run.start["excitation"]["repetition_rate_Hz"]), measurement=measurement,
        other_tags_Hz=sum(rates_Hz.values()),  # the filtered sync: one for every photon at most
    ))


def temperatures(runs: Sequence[RunLike]) -> list[Temperature]:
    """The runs of a series by temperature, in the order of the night; a repeated step replaces the earlier one."""
    panels: dict[float, dict[str, Any]] = {}
    means: dict[float, list[float]] = {}
    for run in runs:
        panel = _PANELS.get(run.start["measurement"])
        if panel is None or not run.data:
            continue
        setpoint_K = float(run.start["temperature_K"])
        panels.setdefault(setpoint_K, {})[panel] = CONVERT[run.start["measurement"]](run)
        means.setdefault(setpoint_K, []).append(float(np.mean(run.data["cryostat_temperature_K"])))
    return [Temperature(setpoint_K=setpoint_K, mean_K=float(np.mean(means[setpoint_K])), **found)
            for setpoint_K, found in panels.items()]


def _delay_ns(run: RunLike, bins: int) -> np.ndarray:
    return (np.arange(bins) + 0.5) * float(run.config["hbt_decay_binwidth_ps"]) * 1e-3


def _period_ns(run: RunLike) -> float:
    return 1e9 / float(run.start["excitation"]["repetition_rate_Hz"])


def _measured_period_ns(run: RunLike) -> float:
    """Laser period on the tagger's own clock, which is also the clock of the delays."""
    measured_Hz = float(np.mean(run.data["hbt_sync_rate_Hz"]))
    return 1e9 / measured_Hz if measured_Hz > 0 else _period_ns(run)


def _irf_fwhm_ps(run: RunLike) -> float:
    return float(run.start["optics"]["irf_fwhm_ps"])


def _nm_per_px(run: RunLike) -> float:
    return float(run.start["optics"]["scale_nm_per_px"]) * int(run.config["camera_binning"])
