"""Light of the virtual 405 nm head. These curves are assumptions of the virtual lab, not of a real head."""

from __future__ import annotations

THRESHOLD_PERMILLE = 350.0
SUBTHRESHOLD_UW = 0.5
FULL_POWER_UW_AT_40_MHZ = 1000.0
FULL_CW_POWER_UW = 20_000.0


def optical_power_uW(permille: float, rate_Hz: float) -> float:
    """Average power of the pulsed head: weak below threshold, then (p - 350)/650 to the power 1.4."""
    if permille <= THRESHOLD_PERMILLE:
        return SUBTHRESHOLD_UW * permille / THRESHOLD_PERMILLE
    return FULL_POWER_UW_AT_40_MHZ * rate_Hz / 40e6 * _above_threshold(permille) ** 1.4


def cw_power_uW(permille: float) -> float:
    """Power with pulses disabled, which on a CW-capable head means continuous light."""
    return SUBTHRESHOLD_UW + FULL_CW_POWER_UW * _above_threshold(permille) ** 1.4


def pulse_fwhm_ps(permille: float) -> float:
    """Optical pulse width: 60 ps at threshold, 200 ps at full intensity."""
    return 60.0 + 140.0 * _above_threshold(permille) ** 2


def _above_threshold(permille: float) -> float:
    return max(0.0, permille - THRESHOLD_PERMILLE) / (1000 - THRESHOLD_PERMILLE)
