"""From what the catalog holds of a run to what the figures draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.counting import check_count_rates
from cryopl_bluesky.analysis.g2 import BlockAreas, PulsedG2, delay_axis_ns
from cryopl_bluesky.analysis.g2_tags import BLOCKS, block_areas_of_tags
from cryopl_bluesky.figures import night
from cryopl_bluesky.figures._data import (
    G2,
    Decay,
    DelayCalibration,
    Picture,
    SpectralMap,
    Temperature,
    TrplMap,
)
from cryopl_bluesky.figures.g2 import draw_g2
from cryopl_bluesky.figures.summary import fit_g2

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPADS = ("spad1", "spad2")


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


class NotDrawableError(LookupError):
    """There is no figure for this kind of run, or it holds no events."""


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
    return G2(delay_ns, counts, period_ns, accidentals=accidentals or None, warnings=_rate_warnings(run))


def channel_delay(run: RunLike) -> DelayCalibration:
    """The pair histogram of a channel-delay run with the delays that were set meanwhile."""
    clicks1, clicks2 = (int(run.data[f"hbt_{spad}_counts"].sum()) for spad in SPADS)
    applied1_ps, applied2_ps, sync_ps = (int(run.config[f"hbt_{role}_delay_ps"]) for role in (*SPADS, "sync"))
    return DelayCalibration(
        run.data["hbt_g2_histogram"].sum(axis=0), float(run.config["hbt_g2_binwidth_ps"]),
        _measured_period_ns(run), (clicks1, clicks2), (applied1_ps, applied2_ps, sync_ps), _rate_warnings(run),
    )


_CONVERT: Mapping[str, Callable[[RunLike], night.Drawable]] = {
    "widefield_image": picture,
    "dark": picture,
    "spectral_image": spectral_map,
    "total_spectrum": spectral_map,
    "decay": decay,
    "trpl_map": trpl_map,
    "g2": g2,
    "channel_delay": channel_delay,
}
_PANELS = {"widefield_image": "picture", "spectral_image": "spectral_map", "trpl_map": "trpl_map", "g2": "g2"}
"""Which panel of a night a measurement fills."""


def draw_run(run: RunLike) -> Figure:
    """The picture of one run.

    Raises:
        NotDrawableError: no figure for this measurement, or no events.
    """
    measurement = run.start.get("measurement", run.start.get("plan_name"))
    if measurement not in _CONVERT:
        raise NotDrawableError(f"there is no figure for {measurement!r}; there is one for {', '.join(_CONVERT)}")
    if not run.data:
        raise NotDrawableError(f"run {run.start['uid'][:8]} ({measurement}) holds no events")
    data = _CONVERT[measurement](run)
    figure = draw_g2(data, _g2_by_blocks(run, data)) if isinstance(data, G2) else night.draw_run(measurement, data)
    figure.suptitle(f"{measurement} at {run.start['temperature_K']:g} K, scan {run.start['scan_id']}")
    return figure


def _g2_by_blocks(run: RunLike, data: G2) -> PulsedG2 | None:
    """The numbers of a g2 run with the error by blocks of time, if its time tags were kept; None without numbers."""
    try:
        result = fit_g2(data)
    except AnalysisError:
        return None  # the figure says why
    tags = run.tags()
    if tags is None:
        return result
    with tags:
        spad1, spad2 = (tags.channels[spad].channel for spad in SPADS)
        block_s = sum(part.capture_s for part in tags.acquisitions) / BLOCKS
        try:
            blocks = [
                block_areas_of_tags(tags.chunks(number), spad1, spad2, result.period_ns, block_s=block_s,
                                    offset_ns=result.offset_ns, peaks=result.k_range[1])
                for number in range(len(tags.acquisitions))
            ]
            areas = np.concatenate([part.areas for part in blocks])
            return result.with_bootstrap(BlockAreas(blocks[0].k, areas, block_s))
        except AnalysisError as error:
            return replace(result, notes=(*result.notes, f"no error by blocks: {error}"))


def temperatures(runs: Sequence[RunLike]) -> list[Temperature]:
    """The runs of a series by temperature, in the order of the night; a repeated step replaces the earlier one."""
    panels: dict[float, dict[str, Any]] = {}
    means: dict[float, list[float]] = {}
    for run in runs:
        panel = _PANELS.get(run.start["measurement"])
        if panel is None or not run.data:
            continue
        setpoint_K = float(run.start["temperature_K"])
        panels.setdefault(setpoint_K, {})[panel] = _CONVERT[run.start["measurement"]](run)
        means.setdefault(setpoint_K, []).append(float(np.mean(run.data["cryostat_temperature_K"])))
    return [Temperature(setpoint_K=setpoint_K, mean_K=float(np.mean(means[setpoint_K])), **found)
            for setpoint_K, found in panels.items()]


def draw_series(runs: Sequence[RunLike]) -> Figure:
    """The picture of a night.

    Raises:
        NotDrawableError: no run of the series has a panel.
    """
    found = temperatures(runs)
    if not found:
        raise NotDrawableError("none of these runs has a picture; look at them with `cryopl runs`")
    start = runs[0].start
    sample = (start.get("sample") or {}).get("name", "")
    recipe = (start.get("series") or {}).get("recipe", "")
    return night.draw_night(found, ", ".join(part for part in (sample, recipe) if part))


def _delay_ns(run: RunLike, bins: int) -> np.ndarray:
    return (np.arange(bins) + 0.5) * float(run.config["hbt_decay_binwidth_ps"]) * 1e-3


def _period_ns(run: RunLike) -> float:
    return 1e9 / float(run.start["excitation"]["repetition_rate_Hz"])


def _measured_period_ns(run: RunLike) -> float:
    """Laser period on the tagger's own clock, which is also the clock of the delays."""
    measured_Hz = float(np.mean(run.data["hbt_sync_rate_Hz"]))
    return 1e9 / measured_Hz if measured_Hz > 0 else _period_ns(run)


def _rate_warnings(run: RunLike) -> tuple[str, ...]:
    """What the highest rates of a run do to its g2."""
    rates_Hz = {spad: float(run.data[f"hbt_{spad}_rate_Hz"].max()) for spad in SPADS}
    return tuple(finding.text for finding in check_count_rates(
        rates_Hz, float(run.start["excitation"]["repetition_rate_Hz"]), measurement="g2",
        other_tags_Hz=sum(rates_Hz.values()),  # the filtered sync: one for every photon at most
    ))


def _irf_fwhm_ps(run: RunLike) -> float:
    return float(run.start["optics"]["irf_fwhm_ps"])


def _nm_per_px(run: RunLike) -> float:
    return float(run.start["optics"]["scale_nm_per_px"]) * int(run.config["camera_binning"])
