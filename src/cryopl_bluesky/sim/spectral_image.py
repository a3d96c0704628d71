"""Spectral images: each row of the slit dispersed into the columns of the chip.

The light of a Gaussian line within a pixel is a difference of two error functions at the photon energies of
the pixel's edges. So photons are conserved, and the Jacobian between energy and wavelength is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve
from scipy.sparse import coo_array
from scipy.special import ndtr

from cryopl_bluesky.sim.collection import (
    ContinuousLayout,
    collected_with_l5,
    emitters_on_chip,
    shift_weights,
    surface_light,
)
from cryopl_bluesky.sim.emission import FWHM_PER_SIGMA, HC_EV_NM
from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.layout import EmitterLayout, FloatArray
from cryopl_bluesky.sim.light_path import (
    CHIP_PX,
    L5_SPOT_UM,
    PIXEL_UM,
    PSF_SIGMA_UM,
    LightPath,
    box_blur_kernel,
    column_edges_um,
    covered_um,
    row_edges_um,
)
from cryopl_bluesky.sim.sample import Sample

_FINE = 4
_STEP_UM = PIXEL_UM / _FINE
_MOST_SEGMENTS = 24


@dataclass(frozen=True)
class SlitSegments:
    """The slit cut into strips that are narrow against the point image.

    Attributes:
        edges_um: on the chip, shape (n + 1,).
    """

    edges_um: FloatArray

    @classmethod
    def of(cls, path: LightPath) -> SlitSegments:
        """Strips of at most a third of the point image; the whole slit with L5, whose light is even."""
        width_um = path.slit_image_um
        fine_um = PSF_SIGMA_UM * FWHM_PER_SIGMA * path.magnification / 3.0
        count = 1 if path.l5_in else int(np.clip(np.ceil(width_um / fine_um), 1, _MOST_SEGMENTS))
        return cls(np.linspace(-width_um / 2.0, width_um / 2.0, count + 1))

    @property
    def centres_um(self) -> FloatArray:
        """Middle of each strip, shape (n,)."""
        return (self.edges_um[1:] + self.edges_um[:-1]) / 2.0

    @property
    def width_um(self) -> float:
        """Width of one strip."""
        return float(self.edges_um[1] - self.edges_um[0])


class Disperser:
    """Columns that the light of given energy shifts falls on, for one grating position and temperature.

    Args:
        sample: what emits.
        path: state of the optics.
        segments: the slit.
        shifts_eV: energy shifts, shape (k,).
    """

    def __init__(self, sample: Sample, path: LightPath, segments: SlitSegments, shifts_eV: FloatArray):
        kernel = box_blur_kernel(_STEP_UM, segments.width_um)
        margin_px = int(np.ceil((path.slit_image_um + kernel.size * _STEP_UM) / PIXEL_UM))
        fine_bins = (CHIP_PX + 2 * margin_px) * _FINE
        self._first_um = float(column_edges_um()[0]) - margin_px * PIXEL_UM
        edges_um = self._first_um + np.arange(fine_bins + 1, dtype=np.float64) * _STEP_UM
        edges_nm = KymeraOptics().wavelengths_nm(edges_um, path.lines_per_mm, path.centre_wavelength_nm)
        photons = line_photons(sample, path.temperature_K, shifts_eV, edges_nm)
        spread = fftconvolve(photons, kernel[None, :], mode="same", axes=1)
        self._cumulative = np.zeros((shifts_eV.size, edges_nm.size))
        np.cumsum(spread, axis=1, out=self._cumulative[:, 1:])

    def columns(self, slit_position_um: float) -> FloatArray:
        """Share of the light entering at `slit_position_um` that each column gets, shape (k, 2048)."""
        steps = (column_edges_um() - slit_position_um - self._first_um) / _STEP_UM
        lower = np.floor(steps).astype(np.intp)
        weight = steps - lower
        at_edges = self._cumulative[:, lower] * (1.0 - weight) + self._cumulative[:, lower + 1] * weight
        return np.diff(at_edges, axis=1)


def line_photons(
    sample: Sample, temperature_K: float, shifts_eV: FloatArray, edges_nm: FloatArray
) -> FloatArray:
    """Fraction of the photons between neighbouring `edges_nm` (n + 1,) for each shift, shape (k, n)."""
    energies_eV = HC_EV_NM / np.maximum(edges_nm, 1.0)
    below = np.zeros((shifts_eV.size, energies_eV.size))
    for fraction, centre_eV, sigma_eV in sample.lines(temperature_K):
        below += fraction * ndtr((energies_eV[None, :] - centre_eV - shifts_eV[:, None]) / sigma_eV)
    return -np.diff(below, axis=1)


def spectral_image(sample: Sample, path: LightPath) -> FloatArray:
    """Light on each pixel in emission units, (2048, 2048): rows along the slit, columns by wavelength."""
    if path.l5_in:
        return _of_whole_image(sample, path)
    if isinstance(sample.layout, EmitterLayout):
        return _of_emitters(sample, sample.layout, path)
    segments = SlitSegments.of(path)
    light, shift_eV = _segment_light(sample.layout, path, segments)
    grid_eV, lower, weight = shift_weights(shift_eV)
    disperser = Disperser(sample, path, segments, grid_eV)
    templates = np.concatenate([disperser.columns(at_um) for at_um in segments.centres_um]).astype(np.float32)
    rows, strips = np.nonzero(light)
    amounts, first = light[rows, strips], strips * grid_eV.size + lower[rows, strips]
    upper = weight[rows, strips]
    mixing = coo_array(
        (
            np.concatenate([amounts * (1.0 - upper), amounts * upper]).astype(np.float32),
            (np.concatenate([rows, rows]), np.concatenate([first, first + 1])),
        ),
        shape=(CHIP_PX, templates.shape[0]),
    )
    return mixing.tocsr() @ templates


def _segment_light(
    layout: ContinuousLayout, path: LightPath, segments: SlitSegments
) -> tuple[FloatArray, FloatArray]:
    """Light and its mean energy shift for each row and strip of the slit, both of shape (2048, n)."""
    strips = segments.centres_um.size
    points = int(np.ceil(segments.width_um / PIXEL_UM))
    offsets_um = ((np.arange(points) + 0.5) / points - 0.5) * segments.width_um
    x_um = (segments.centres_um[:, None] + offsets_um[None, :]).ravel()
    edges_um = row_edges_um()
    density, shift_eV = surface_light(layout, path, x_um, (edges_um[1:] + edges_um[:-1]) / 2.0)
    light = density.reshape(CHIP_PX, strips, points) * (segments.width_um / points * PIXEL_UM)
    total = light.sum(axis=2)
    weighted_eV = (light * shift_eV.reshape(light.shape)).sum(axis=2)
    return total, np.divide(weighted_eV, total, out=np.zeros_like(total), where=total > 0.0)


def _of_emitters(sample: Sample, layout: EmitterLayout, path: LightPath) -> FloatArray:
    """Each emitter is a row profile times a spectrum; those that miss slit or chip are left out."""
    segments = SlitSegments.of(path)
    x_um, y_um, light, shifts_eV = emitters_on_chip(layout, path)
    sigma_um = PSF_SIGMA_UM * path.magnification
    in_strips = np.diff(ndtr((segments.edges_um[None, :] - x_um[:, None]) / sigma_um), axis=1)
    in_rows = np.diff(ndtr((row_edges_um()[None, :] - y_um[:, None]) / sigma_um), axis=1)
    amounts = light[:, None] * in_strips
    seen = amounts.sum(axis=1) * in_rows.max(axis=1) > 1e-9
    disperser = Disperser(sample, path, segments, shifts_eV[seen])
    spectra = np.zeros((int(seen.sum()), CHIP_PX), dtype=np.float32)
    for strip, at_um in enumerate(segments.centres_um):
        spectra += amounts[seen, strip, None] * disperser.columns(at_um)
    return in_rows[seen].T.astype(np.float32) @ spectra


def _of_whole_image(sample: Sample, path: LightPath) -> FloatArray:
    """L5 in: one spectrum in the 75 um of rows that the spot of L5 covers."""
    sources = collected_with_l5(sample.layout, path)
    segments = SlitSegments.of(path)
    disperser = Disperser(sample, path, segments, sources.shift_eV)
    spectrum = sources.light @ disperser.columns(0.0) * (path.slit_image_um / L5_SPOT_UM)
    rows = covered_um(row_edges_um(), L5_SPOT_UM) / L5_SPOT_UM
    return np.outer(rows, spectrum)
