"""A spectral lamp on the sample plane: even light at a few wavelengths, whatever the laser does.

Wavelengths in air, NIST Handbook of Basic Atomic Spectroscopic Data (Hg, Ne); 543.365 nm is the green helium-neon
laser. How bright the lines are is a choice of the virtual lab.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import ndtr

from cryopl_bluesky.sim.kymera_optics import KymeraOptics
from cryopl_bluesky.sim.light_path import (
    CHIP_PX,
    L5_SPOT_UM,
    SPECTROGRAPH_PSF_SIGMA_UM,
    LightPath,
    column_edges_um,
    covered_um,
    row_edges_um,
)

LAMPS: dict[str, tuple[tuple[float, float], ...]] = {
    "Hg": ((435.8328, 0.8), (546.0735, 1.0), (576.9598, 0.3), (579.0663, 0.3)),
    "Ne": ((585.2488, 1.0), (588.1895, 0.3), (594.4834, 0.4), (614.3063, 0.7), (640.2248, 1.0)),
    "HeNe": ((543.365, 1.0),),
}
"""Lines of each lamp as (wavelength in air in nm, relative photon flux)."""

_PHOTONS_PER_S = 4.0e4
"""On a pixel, of a line of flux 1 whose image is wider than the pixel and the blur."""
_FARTHEST_UM = 20_000.0


def checked_lamp(name: str) -> str:
    """The name of a lamp, or "".

    Raises:
        ValueError: there is no such lamp.
    """
    if name and name not in LAMPS:
        raise ValueError(f"lamp={name!r} is unknown; choose one of {', '.join(LAMPS)}")
    return name


@lru_cache(maxsize=8)
def lamp_view(path: LightPath, quantum_efficiency: float) -> NDArray[np.float32]:
    """Photo-electrons per second per pixel of the lamp alone: images of the entrance slit, one per line.

    Args:
        path: state of the optics.
        quantum_efficiency: photo-electrons per photon.

    Returns:
        float32 (2048, 2048), read-only.
    """
    edges_um = column_edges_um()
    columns = np.zeros(CHIP_PX)
    for wavelength_nm, flux in LAMPS[path.lamp]:
        at_um = 0.0 if path.lines_per_mm == 0.0 else _position_um(path, wavelength_nm)
        columns += flux * _slit_image(edges_um - at_um, path.slit_image_um)
    rows = covered_um(row_edges_um(), L5_SPOT_UM) / L5_SPOT_UM * CHIP_PX if path.l5_in else np.ones(CHIP_PX)
    frame = np.outer(rows, columns * (_PHOTONS_PER_S * quantum_efficiency)).astype(np.float32)
    frame.flags.writeable = False
    return frame


def _position_um(path: LightPath, wavelength_nm: float) -> float:
    """Where a wavelength falls, from the axis; far outside the chip if the grating does not send it there."""
    def excess_nm(at_um: float) -> float:
        found_nm = KymeraOptics().wavelengths_nm(np.array([at_um]), path.lines_per_mm, path.centre_wavelength_nm)
        return float(found_nm[0]) - wavelength_nm

    low_nm, high_nm = excess_nm(-_FARTHEST_UM), excess_nm(_FARTHEST_UM)
    if low_nm * high_nm > 0.0:
        return 10.0 * _FARTHEST_UM
    found = root_scalar(excess_nm, bracket=(-_FARTHEST_UM, _FARTHEST_UM), method="brentq", xtol=1e-4)
    return float(found.root)


def _slit_image(edges_um: NDArray[np.floating], slit_um: float) -> NDArray[np.floating]:
    """Mean height in each interval of a box of height 1 and width `slit_um`, blurred by the spectrograph."""
    sigma_um, half_um = SPECTROGRAPH_PSF_SIGMA_UM, slit_um / 2.0
    middles_um = (edges_um[1:] + edges_um[:-1]) / 2.0
    return ndtr((middles_um + half_um) / sigma_um) - ndtr((middles_um - half_um) / sigma_um)
