"""A made-up night with known truth, as plain data."""

import numpy as np
from scipy.special import ndtr

from cryopl_bluesky.analysis.units import FWHM_PER_SIGMA, HC_EV_NM
from cryopl_bluesky.figures.night import G2, Picture, SpectralMap, Temperature, TrplMap

TRUTH = {  # setpoint_K: (peak_eV, fwhm_eV, tau_ns)
    5.0: (2.346, 0.018, 0.4),
    50.0: (2.351, 0.021, 0.8),
    120.0: (2.363, 0.030, 1.6),
    200.0: (2.379, 0.048, 3.0),
    294.0: (2.400, 0.073, 5.0),
}


def spectral_map(rng, peak_eV, fwhm_eV, pixels):
    axis = np.linspace(495.0, 557.0, pixels)
    step = axis[1] - axis[0]
    edges = HC_EV_NM / np.append(axis - step / 2, axis[-1] + step / 2)
    share = np.abs(np.diff(ndtr((edges - peak_eV) * FWHM_PER_SIGMA / fwhm_eV)))
    position = (np.arange(pixels) - pixels / 2) * 127.0 / pixels
    profile = np.exp(-0.5 * (np.abs(position - 4) / 3.0) ** 4) + 0.3 * np.exp(
        -0.5 * ((position + 9) / 2) ** 2
    )
    light = rng.poisson(profile[:, None] * share * 4e5 / profile.sum() * 60)
    frame = light / 0.5 + 100.0 + rng.normal(0, 3.0, light.shape)
    return SpectralMap(frame, axis, position, gain_e_per_adu=0.5, offset_adu=100.0, read_noise_e=1.5)


def trpl_map(rng, peak_eV, fwhm_eV, tau_ns, photons=40_000, period_ns=100.0, binwidth_ns=0.032):
    axis = np.arange(506.0, 546.5, 2.0)
    weight = np.exp(-0.5 * ((HC_EV_NM / axis - peak_eV) * FWHM_PER_SIGMA / fwhm_eV) ** 2)
    edges = np.arange(int(period_ns / binwidth_ns) + 1) * binwidth_ns
    counts = []
    for w in weight:
        n = rng.poisson(photons * w)
        t = rng.exponential(tau_ns, n) + rng.normal(0.06, 0.2 / FWHM_PER_SIGMA, n)
        t = np.concatenate([t, rng.uniform(0, period_ns, rng.poisson(150))]) % period_ns
        counts.append(np.histogram(t, edges)[0])
    return TrplMap(axis, (edges[:-1] + edges[1:]) / 2, np.array(counts), period_ns)


def g2(rng, tau_ns, truth, period_ns=100.0, binwidth_ns=0.1, bins=25001, pairs=300):
    half = bins // 2 * binwidth_ns
    delays = [
        k * period_ns + 1.7 + rng.laplace(0, tau_ns, rng.poisson(pairs * (truth if k == 0 else 1.0)))
        for k in range(-int(half / period_ns) - 1, int(half / period_ns) + 2)
    ]
    edges = (np.arange(bins + 1) - bins // 2) * binwidth_ns
    return G2(
        (np.arange(bins) - bins // 2) * binwidth_ns, np.histogram(np.concatenate(delays), edges)[0], period_ns
    )


def picture(rng, pixels):
    y, x = np.mgrid[:pixels, :pixels] / pixels - 0.5
    glow = np.exp(-(x**2 + y**2) / 0.02) * 200
    plates = 0.0
    for _ in range(12):
        cx, cy, s = *rng.normal(0, 0.08, 2), rng.uniform(0.01, 0.025)
        plates = plates + 800 * ((np.abs(x - cx) < s) & (np.abs(y - cy) < s)) * np.exp(
            -(cx**2 + cy**2) / 0.02
        )
    return Picture(
        rng.poisson(glow + plates + 10).astype(float), 127351.0 / pixels, slit_column_px=pixels * 0.49
    )


def night(pixels=256, g2_0=1.0, seed=3):
    rng = np.random.default_rng(seed)
    return [
        Temperature(
            setpoint_K=T,
            mean_K=T + 0.004,
            picture=picture(rng, pixels),
            spectral_map=spectral_map(rng, peak, fwhm, pixels),
            trpl_map=trpl_map(rng, peak, fwhm, tau),
            g2=g2(rng, tau, g2_0),
        )
        for T, (peak, fwhm, tau) in TRUTH.items()
    ]
