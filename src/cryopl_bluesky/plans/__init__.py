"""Plans (open runs) and stubs (do not). A plan's arguments are plain JSON values, checked before anything moves."""

from cryopl_bluesky.plans.calibrations import irf, laser_power, scale, spot, wavelength_lines
from cryopl_bluesky.plans.imaging import dark, spectral_image, total_spectrum, widefield_image
from cryopl_bluesky.plans.photon_counting import channel_delay, decay, g2, trpl_map
from cryopl_bluesky.plans.series import temperature_series

__all__ = [
    "channel_delay",
    "dark",
    "decay",
    "g2",
    "irf",
    "laser_power",
    "scale",
    "spectral_image",
    "spot",
    "temperature_series",
    "total_spectrum",
    "trpl_map",
    "wavelength_lines",
    "widefield_image",
]
