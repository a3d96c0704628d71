"""Reports of calibration runs with known truth."""

import json

import made_runs as made
import numpy as np
import pytest
from scipy.special import ndtr

from cryopl_bluesky.reports import analyse_run


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def calibration(measurement, data, frames=None, **reference):
    run = made.made_run(measurement, data, frames, calibration_of={"kind": measurement, "reference": reference})
    run.start["excitation"]["intensity_permille"] = 443.0
    return run


def test_irf(rng):
    sigma_ns = 0.071 / 2.35482
    edges = np.arange(2001) * 0.01
    counts = [np.histogram(rng.normal(at, sigma_ns, 50_000), edges)[0] + rng.poisson(0.2, 2000) for at in (5.0, 5.4)]
    run = calibration("irf", {"hbt_decay_spad1": counts[0][None], "hbt_decay_spad2": counts[1][None],
                              **made.spad_data(50_000, 60.0)})  # fmt: skip
    run.config["hbt_decay_binwidth_ps"] = 10
    report = analyse_run(run)
    for spad, peak_ps in (("spad1", 5000), ("spad2", 5400)):
        found = report.by_spad[spad]
        assert abs(found.fwhm_ps.value - 71.0) < 4 * found.fwhm_ps.error < 8
        assert found.peak_ps == pytest.approx(peak_ps, abs=3)
    assert (report.intensity_permille, report.fit["spad1"].binwidth_ps) == (443.0, 10)
    json.dumps(report.to_dict(), allow_nan=False)


def test_spot(rng):
    y, x = np.mgrid[:200, :200] * made.NM_PER_PX * 1e-3
    light = 300 * np.exp(-2 * (((x - 6) / 2.0) ** 2 + ((y - 5.5) / 1.5) ** 2))
    report = analyse_run(calibration("spot", {"camera_saturated_px": [0]}, made.camera_frames(rng, light)))
    for found, truth in ((report.diameter_major_um, 4.0), (report.diameter_minor_um, 3.0)):
        assert found.value == pytest.approx(truth, rel=0.01)
        assert found.error == pytest.approx(0.05 * truth, rel=0.1)  # that of the scale
    assert abs(report.angle_deg.value) < 4 * report.angle_deg.error
    json.dumps(report.to_dict(), allow_nan=False)
    dark = analyse_run(calibration("spot", {"camera_saturated_px": [0]}, made.camera_frames(rng, 0 * light)))
    assert dark.diameter_major_um is None
    assert any("no spot" in text for text in dark.warnings)


def test_scale_says_how_the_beads_are_dyed(rng):
    y, x = np.mgrid[:160, :160] * made.NM_PER_PX * 1e-3
    inside = np.maximum(1.055**2 - (x - 4.8) ** 2 - (y - 4.6) ** 2, 0.0)
    beads = {"bead_diameter_um": 2.11, "bead_diameter_err_um": 0.2}
    light = made.camera_frames(rng, 2000 * np.sqrt(inside))
    report = analyse_run(calibration("scale", {"camera_saturated_px": [0]}, light, bead_profile="ball", **beads))
    assert report.beads == 1
    assert report.nm_per_px.value == pytest.approx(made.NM_PER_PX, rel=0.02)
    assert report.rel_err == pytest.approx(0.2 / 2.11, rel=0.1)
    none = analyse_run(calibration("scale", {"camera_saturated_px": [0]}, made.camera_frames(rng, 0 * x), **beads))
    assert none.nm_per_px is None
    assert any("no scale" in text for text in none.warnings)


def test_wavelength_lines(rng):
    axis = np.linspace(530.0, 590.0, 1200)
    edges = np.append(axis - 0.5 * (axis[1] - axis[0]), axis[-1] + 0.5 * (axis[1] - axis[0]))
    lines_nm = [546.075, 576.961, 579.067]
    # the axis shows the lines 0.08 nm too high
    counts = sum(3e4 * np.diff(ndtr((edges - nm - 0.08) / 0.08)) for nm in lines_nm)
    data = {"spectrograph_wavelength_nm": axis[None], "spectrograph_centre_wavelength_nm": [560.0],
            "camera_saturated_px": [0]}  # fmt: skip
    frames = made.camera_frames(rng, np.tile(counts, (20, 1)))
    report = analyse_run(calibration("wavelength_lines", data, frames, lines_nm=[404.7, *lines_nm], medium="air"))
    (frame,) = report.frames
    assert frame.lines == 3
    assert frame.shift_nm.value == pytest.approx(-0.08, abs=4 * frame.shift_nm.error)
    assert frame.shift_nm.error < 0.01
    assert report.medium == "air"
    elsewhere = analyse_run(calibration("wavelength_lines", data, frames, lines_nm=[404.7]))
    assert elsewhere.frames == ()
    assert any("none of the known lines" in text for text in elsewhere.warnings)


def test_laser_power():
    data = {"laser_intensity_permille": [400.0, 600.0, 800.0], "power_meter_power_uW": [1.0, 4.0, 9.0]}
    report = analyse_run(calibration("laser_power", data, meter_rel_err=0.05))
    middle = report.points[1]
    assert middle.power_uW.value == pytest.approx(4.0)
    assert middle.power_uW.error == pytest.approx(0.2, rel=0.01)
    assert middle.pulse_energy_pJ.value == pytest.approx(4.0 / 10.0)  # 10 MHz
    assert report.data is None  # nothing to draw


def test_the_calibrations_that_a_run_names_are_applied_and_named(rng):
    """Each with a value that differs from the profile's: what comes out is the calibration's."""
    sigma_ns = made.IRF_PS * 1e-3 / 2.35482
    counts = np.histogram(rng.normal(5.0, sigma_ns, 50_000), np.arange(2001) * 0.01)[0] + rng.poisson(0.2, 2000)
    irf = calibration("irf", {"hbt_decay_spad1": counts[None], "hbt_decay_spad2": counts[None],
                              **made.spad_data(50_000, 60.0)})  # fmt: skip
    irf.config["hbt_decay_binwidth_ps"] = 10
    run = made.decay(rng, tau_ns=0.4)
    run.start["optics"]["irf_fwhm_ps"] = 300.0  # wrong
    run.start["calibration"] = {"irf": "irf-uid", "spot": "spot-uid"}
    without, report = analyse_run(run), analyse_run(run, calibrations={"irf": irf})
    assert not without.decay.good
    assert without.origin.calibration_applied == ()
    assert report.decay.good
    assert report.decay.tau_int_ns.value == pytest.approx(0.4, abs=4 * report.decay.tau_int_ns.error)
    assert report.origin.calibration_applied == ("irf",)
    assert report.notes[0].startswith("response: Gaussian of the measured FWHM, 7")

    y, x = np.mgrid[:160, :160] * made.NM_PER_PX * 1e-3
    inside = np.maximum(1.055**2 - (x - 4.8) ** 2 - (y - 4.6) ** 2, 0.0)
    scale = calibration("scale", {"camera_saturated_px": [0]}, made.camera_frames(rng, 2000 * np.sqrt(inside)),
                        bead_profile="ball", bead_diameter_um=2.11, bead_diameter_err_um=0.2)  # fmt: skip
    image = made.made_run("widefield_image", {"camera_saturated_px": [0]}, made.camera_frames(rng, 500 * inside))
    image.start["optics"] = image.start["optics"] | {"scale_nm_per_px": 80.0}  # wrong
    report = analyse_run(image, calibrations={"scale": scale})
    assert report.scale_nm_per_px.value == pytest.approx(made.NM_PER_PX, rel=0.02)
    assert report.scale_nm_per_px.error == pytest.approx(0.095 * made.NM_PER_PX, rel=0.1)

    spectra = made.spectral_image(rng, light=1e5)
    glow = np.zeros(spectra.frames["camera_image"].shape[1:])
    glow[:, 300:310] = 400  # hot columns, brighter than the line
    spectra.frames["camera_image"] = spectra.frames["camera_image"] + rng.poisson(glow).astype(np.uint16)[None]
    dark = made.made_run("dark", {"camera_saturated_px": [0]}, made.camera_frames(rng, glow * made.GAIN, 10))
    assert abs(analyse_run(spectra).line.peak_eV.value - made.PEAK_EV) > 0.005
    report = analyse_run(spectra, calibrations={"dark": dark})
    assert report.line.peak_eV.value == pytest.approx(made.PEAK_EV, abs=4 * report.line.peak_eV.error)
    assert report.origin.calibration_applied == ("dark",)
