"""The fits behind every number that a figure or a report shows, from plain data with `cryopl_bluesky.analysis`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..analysis import AnalysisError
from ..analysis.g2 import BlockAreas, PulsedG2, pulsed_g2
from ..analysis.g2_tags import BLOCKS, block_areas_of_tags
from ..analysis.lifetime_map import LifetimeMap, fit_lifetime_map
from ..analysis.lifetimes import DecayFit
from ..analysis.mean_lifetime import fit_mean_lifetime, fit_window_bins
from ..analysis.spectra import LineFit, Spectrum, fit_line, frame_to_electrons, rows_at, sum_rows
from ._data import G2, Decay, SpectralMap, TrplMap
from .run_data import SPADS, RunLike

_FLAGS = {True: "ok", False: "ARTEFACT", None: "not judged"}


def spectrum_of(data: SpectralMap, rows: slice | None = None) -> Spectrum:
    """Sum rows: electrons with variance, or offset-free ADU without variance when the gain is unknown."""
    gain = data.gain_e_per_adu if data.gain_e_per_adu is not None else 1.0
    chosen = slice(None) if rows is None else rows
    frame = frame_to_electrons(
        np.asarray(data.counts[chosen], float),
        gain_e_per_adu=gain,
        read_noise_e=data.read_noise_e,
        offset_adu=data.offset_adu,
        dark_adu=None if data.dark_adu is None else np.asarray(data.dark_adu[chosen], float),
        dark_frames=data.dark_frames,
    )
    total = sum_rows(frame)
    if data.gain_e_per_adu is None:
        return Spectrum(total.counts, None, total.rows, total.saturated)
    # the frames were averaged: their sum is what has Poisson statistics
    assert total.variance is not None
    n = data.frames
    return Spectrum(total.counts * n, total.variance * n, total.rows, total.saturated)


def fit_total_line(data: SpectralMap) -> LineFit:
    """Fit the line-total spectrum of a spectral image; saturated columns are left out."""
    return fit_spectrum(data, spectrum_of(data))


def fit_spectrum(data: SpectralMap, spectrum: Spectrum) -> LineFit:
    """Fit the strongest line of some rows of a spectral image (from `spectrum_of`); saturated columns are left out."""
    return fit_line(
        np.asarray(data.wavelength_nm, float),
        spectrum.counts,
        spectrum.variance,
        instrument_fwhm_nm=data.instrument_fwhm_nm,
        exclude=spectrum.saturated,
    )


def centre_rows(data: SpectralMap) -> slice:
    """The middle third of the brightest object on the line, where its spectrum is its own.

    Towards the rim the line of a superlattice shifts, and other objects on the line have lines of their own. The
    object ends where the light falls to half of its maximum.
    """
    counts = np.asarray(data.counts, float)
    profile = np.convolve(counts.mean(axis=1) - data.offset_adu, np.full(9, 1 / 9), mode="same")
    brightest = int(np.argmax(profile))
    dim = np.flatnonzero(profile < profile[brightest] / 2)
    first = int(dim[dim < brightest].max(initial=-1)) + 1
    stop = int(dim[dim > brightest].min(initial=profile.size))
    third = (stop - first) // 3
    return slice(first + third, stop - third)


def fit_centre_line(data: SpectralMap) -> LineFit:
    """Fit the spectrum of `centre_rows`; saturated columns are left out."""
    return fit_spectrum(data, spectrum_of(data, centre_rows(data)))


def bright_positions_um(data: SpectralMap, how_many: int = 3) -> list[float]:
    """Positions at which the light along the slit has passed 1/4, 2/4, 3/4 (for three) of its sum."""
    counts = np.asarray(data.counts)
    profile = counts.mean(axis=1, dtype=np.float64)
    profile = np.clip(profile - np.quantile(profile, 0.2), 0.0, None)
    profile[profile < 0.1 * profile.max()] = 0.0
    if profile.sum() == 0:
        profile = np.ones_like(profile)
    share = np.cumsum(profile) / profile.sum()
    targets = np.arange(1, how_many + 1) / (how_many + 1)
    return [float(np.asarray(data.position_um, float)[np.searchsorted(share, t)]) for t in targets]


def half_rows(data: SpectralMap) -> int:
    """Rows on either side of a position that its spectrum is summed over."""
    return max(1, len(np.asarray(data.position_um)) // 200)


def rows_around(data: SpectralMap, position_um: float) -> slice:
    """The rows of the spectrum at a position."""
    return rows_at(np.asarray(data.position_um, float), position_um, half_rows(data))


def decay_wavelength_nm(data: TrplMap, line: LineFit | None) -> float:
    """Wavelength of the map's row for the mean lifetime: nearest to the line's peak, else the brightest."""
    axis = np.asarray(data.wavelength_nm, float)
    if line is not None and axis.min() <= line.peak_nm <= axis.max():
        return float(axis[np.argmin(np.abs(axis - line.peak_nm))])
    return float(axis[np.argmax(np.asarray(data.counts).sum(axis=1))])


def fit_decay_data(data: Decay) -> DecayFit:
    """The mean lifetime of a decay; see `fit_mean_lifetime`."""
    binwidth_ps, period_ns = _timing(data)
    return fit_mean_lifetime(data.counts, binwidth_ps, period_ns, irf_fwhm_ps=data.irf_fwhm_ps, irf=data.irf)


def fit_trpl_map(data: TrplMap) -> LifetimeMap:
    """Fit all rows of a map with one shift of the response; rows in the order of the wavelengths.

    Raises:
        AnalysisError: As `fit_lifetime_map`.
    """
    axis, counts = np.asarray(data.wavelength_nm, float), np.asarray(data.counts)
    order = np.argsort(axis, kind="stable")
    decay = Decay(data.delay_ns, counts.sum(axis=0), data.period_ns, data.irf_fwhm_ps, data.irf)
    binwidth_ps, period_ns = _timing(decay)
    return fit_lifetime_map(
        counts[order],
        axis[order],
        binwidth_ps,
        period_ns,
        irf_fwhm_ps=data.irf_fwhm_ps if data.irf is None else None,
        irf=data.irf,
        fit_bins=fit_window_bins(decay.counts, binwidth_ps),
    )


def _timing(data: Decay) -> tuple[float, float]:
    """Bin width in ps and laser period in ns."""
    delay = np.asarray(data.delay_ns, float)
    binwidth_ps = float((delay[-1] - delay[0]) / (delay.size - 1)) * 1e3
    return binwidth_ps, data.period_ns if data.period_ns is not None else delay.size * binwidth_ps / 1e3


def fit_g2(data: G2) -> PulsedG2:
    """Pulsed g2(0) of a histogram whose delay axis may be shifted by whole bins.

    Raises:
        AnalysisError: As `pulsed_g2`, or a delay axis that does not have its zero on a bin.
    """
    delay, counts = np.asarray(data.delay_ns, float), np.asarray(data.counts)
    binwidth_ns = float((delay[-1] - delay[0]) / (delay.size - 1))
    middle = float(delay[delay.size // 2])
    offset = None if data.offset_ns is None else data.offset_ns - middle
    result = pulsed_g2(
        counts, binwidth_ns * 1e3, data.period_ns, offset_ns=offset, accidentals=data.accidentals
    )
    if abs(middle) > 0.5 * binwidth_ns:
        raise AnalysisError(
            f"The delay axis has {middle:g} ns in its middle bin instead of 0; "
            "give delays (i - n//2) * binwidth."
        )
    return result


def g2_by_blocks(run: RunLike, data: G2) -> PulsedG2 | None:
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


def g2_problems(data: G2, result: PulsedG2) -> list[str]:
    """What speaks against a result, the worst first."""
    artefact = [result.dead_time.note] if result.dead_time_ok is False else []
    return [*artefact, *data.warnings, *result.notes]


def g2_verdict(result: PulsedG2) -> str:
    """Whether close pairs are all there, and whether one emitter may be claimed."""
    claim = "g²(0) < 0.5 holds at 95 %" if result.single_emitter else "g²(0) < 0.5 cannot be claimed"
    return f"dead time {_FLAGS[result.dead_time_ok]}; {claim}"
