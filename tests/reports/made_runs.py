"""Runs with known truth as the catalog would give them, without a catalog."""

import numpy as np
from scipy.special import ndtr

from cryopl_bluesky.analysis.units import FWHM_PER_SIGMA, HC_EV_NM
from cryopl_bluesky.catalog.load import RunData

PEAK_EV, FWHM_EV = 2.36, 0.03
GAIN, BASELINE, READ_NOISE = 0.45, 100.0, 1.3
NM_PER_PX = 60.0
PERIOD_NS, BINWIDTH_PS, IRF_PS = 100.0, 50, 71.0


class MadeRun(RunData):
    """A run that keeps no time tags."""

    def tags(self):
        return None


def made_run(measurement, data, frames=None, temperature_K=8.0, **start):
    events = len(next(iter(data.values())))
    optics = {"scale_nm_per_px": NM_PER_PX, "scale_rel_err": 0.05, "irf_fwhm_ps": IRF_PS}
    camera = {
        "camera_gain_e_per_adu": GAIN, "camera_baseline_adu": BASELINE, "camera_read_noise_e": READ_NOISE,
        "camera_binning": 1, "camera_exposure_s": 0.5,
    }  # fmt: skip
    hbt = {"hbt_decay_binwidth_ps": BINWIDTH_PS, "hbt_g2_binwidth_ps": 500, "hbt_spad1_delay_ps": 0,
           "hbt_spad2_delay_ps": -1700, "hbt_sync_delay_ps": 0}  # fmt: skip
    return MadeRun(
        start={
            "uid": f"{measurement}-{temperature_K:g}-uid", "scan_id": 7, "measurement": measurement, "optics": optics,
            "temperature_K": temperature_K, "sample": {"name": "A3"}, "calibration": {"scale": "abc-uid"},
            "excitation": {"repetition_rate_Hz": 1e9 / PERIOD_NS}, "versions": {"bluesky": "1"}, **start,
        },
        stop={"exit_status": "success", "reason": ""},
        config={**camera, **hbt},
        data={
            "seq_num": np.arange(events), "cryostat_temperature_K": np.full(events, temperature_K + 0.002),
            "cryostat_temperature_std_K": np.full(events, 0.001),
            **{key: np.asarray(column) for key, column in data.items()},
        },
        frames={} if frames is None else {"camera_image": frames},
    )  # fmt: skip


def camera_frames(rng, electrons, number=1):
    """Frames in ADU of so many mean electrons per pixel."""
    signal = rng.poisson(electrons, (number, *electrons.shape)) + rng.normal(
        0, READ_NOISE, (number, *electrons.shape)
    )
    return np.round(signal / GAIN + BASELINE).astype(np.uint16)


def spectral_image(rng, temperature_K=8.0, peak_eV=PEAK_EV, fwhm_eV=FWHM_EV, light=4e6):
    axis = np.linspace(500.0, 550.0, 400)
    edges = HC_EV_NM / np.append(axis - 0.5 * (axis[1] - axis[0]), axis[-1] + 0.5 * (axis[1] - axis[0]))
    share = np.abs(np.diff(ndtr((edges - peak_eV) * FWHM_PER_SIGMA / fwhm_eV)))
    profile = np.exp(-0.5 * ((np.arange(200) - 90) / 15.0) ** 4)
    electrons = light * profile[:, None] / profile.sum() * share
    return made_run("spectral_image", {"spectrograph_wavelength_nm": axis[None, :]},
                    camera_frames(rng, electrons), temperature_K)  # fmt: skip


def decay_counts(rng, photons, tau_ns, shift_ns=3.0, slow=0.0):
    n = rng.poisson(photons)
    tau = np.where(rng.random(n) < slow, 10.0, tau_ns)
    t = rng.exponential(tau) + rng.normal(shift_ns, IRF_PS * 1e-3 / FWHM_PER_SIGMA, n)
    t = np.concatenate([t, rng.uniform(0, PERIOD_NS, rng.poisson(100))]) % PERIOD_NS
    return np.histogram(t, np.arange(int(PERIOD_NS * 1e3 / BINWIDTH_PS) + 1) * BINWIDTH_PS * 1e-3)[0]


def spad_data(clicks, duration_s, events=1):
    """Rates and counts of both SPADs."""
    return {
        **{f"hbt_{spad}_counts": np.full(events, clicks) for spad in ("spad1", "spad2")},
        **{f"hbt_{spad}_rate_Hz": np.full(events, clicks / duration_s) for spad in ("spad1", "spad2")},
        "hbt_sync_rate_Hz": np.full(events, 1e9 / PERIOD_NS), "hbt_capture_duration_s": np.full(events, duration_s),
        "hbt_overflows": np.zeros(events, np.int64),
    }  # fmt: skip


def decay(rng, tau_ns=4.0, photons=20_000, other_ns=None):
    counts = [decay_counts(rng, photons, tau)[None, :] for tau in (tau_ns, other_ns or tau_ns)]
    data = {"hbt_decay_spad1": counts[0], "hbt_decay_spad2": counts[1], **spad_data(photons, 10.0)}
    return made_run("decay", data)


def trpl_map(rng, lifetimes_ns, wavelengths_nm, photons=10_000):
    counts = np.stack([decay_counts(rng, photons, tau) for tau in lifetimes_ns])
    return made_run("trpl_map", {
        "hbt_decay_spad1": counts, "hbt_decay_spad2": np.zeros_like(counts),
        "spectrograph_centre_wavelength_nm": np.asarray(wavelengths_nm, float),
        **spad_data(photons, 10.0, len(counts)),
    })  # fmt: skip


def pair_histogram(rng, central, pairs=300, offset_ns=1.7, tau_ns=2.0, bins=8401, binwidth_ns=0.5):
    half = bins // 2 * binwidth_ns
    delays = [
        k * PERIOD_NS + offset_ns + rng.laplace(0, tau_ns, rng.poisson(pairs * (central if k == 0 else 1.0)))
        for k in range(-int(half / PERIOD_NS) - 1, int(half / PERIOD_NS) + 2)
    ]
    edges = (np.arange(bins + 1) - bins // 2 - 0.5) * binwidth_ns
    return np.histogram(np.concatenate(delays), edges)[0]


def g2(rng, central=1.0, pairs=300, measurement="g2"):
    data = {"hbt_g2_histogram": pair_histogram(rng, central, pairs)[None, :], **spad_data(200_000, 10.0)}
    return made_run(measurement, data)
