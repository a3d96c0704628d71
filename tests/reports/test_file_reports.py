"""`cryopl analyse` of the sample files: each number that their README states, found without this package."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.repetition import find_repetition_rate
from cryopl_bluesky.files import read_file
from cryopl_bluesky.reports import analyse_file
from cryopl_bluesky.reports.decay_files import report_decay_file
from cryopl_bluesky.reports.photon_files import report_photon_file
from cryopl_bluesky.reports.pictures import draw_report

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def emitter():
    return analyse_file(DATA / "picoquant" / "hydraharp_v10_t3.ptu")


@pytest.fixture(scope="module")
def poissonian():
    return analyse_file(DATA / "picoquant" / "picoharp_v30_t2.ptu")


def test_g2_of_the_single_emitter(emitter):
    g2 = emitter.g2
    assert list(g2.near_peaks.values()) == [39, 36, 36, 38, 33, 11, 36, 33, 37, 48, 45]
    expected = {50: (40.06, 0.275, 0.083), 100: (39.86, 0.276, 0.083), 1000: (39.11, 0.281, 0.085)}
    for other in g2.by_reach:
        if other.side_peaks in expected:
            mean, value, sigma = expected[other.side_peaks]
            assert other.side_mean == pytest.approx(mean, abs=0.005)
            assert (other.g2_0.value, other.g2_0.error) == (
                pytest.approx(value, rel=0.01), pytest.approx(sigma, rel=0.01))  # fmt: skip
    assert (g2.g2_0_raw.value, g2.side_peaks, g2.n_central) == (pytest.approx(0.281, rel=0.01), 1000, 11)
    assert g2.sigma_poisson == pytest.approx(0.085, rel=0.01)
    assert g2.ci68 == pytest.approx((0.198, 0.394), abs=5e-4)
    assert g2.ci95 == pytest.approx((0.140, 0.503), abs=5e-4)
    assert g2.near_far.value == pytest.approx(1.338, rel=0.01)
    assert g2.g2_0_rate == pytest.approx(0.369, rel=0.01)
    # 0.281 + 2 x 0.085 lies below 0.5, the exact interval does not
    assert not g2.single_emitter
    assert any("blinking" in text for text in emitter.warnings)


def test_bootstrap_of_the_single_emitter():
    photons = read_file(DATA / "picoquant" / "hydraharp_v10_t3.ptu")
    report = report_photon_file(photons, side_peaks=50)
    assert report.g2.sigma_bootstrap == pytest.approx(0.078, abs=0.005)
    assert report.g2.g2_0_raw.error == pytest.approx(0.083, rel=0.01)  # never below Poisson


def test_photons_and_lifetime_of_the_single_emitter(emitter):
    assert (emitter.records, emitter.dropped, emitter.counts) == (167_801, 73_241, {0: 48_001, 1: 46_559})
    assert emitter.duration_s == pytest.approx(29.9997, abs=5e-5)
    assert (emitter.repetition_rate_Hz.value, emitter.period_ns.value) == (pytest.approx(2.5e6), pytest.approx(400.0))
    assert (emitter.trace.mean, emitter.trace.maximum) == (pytest.approx(31.5, abs=0.05), 74)
    assert emitter.trace.variance_over_mean == pytest.approx(8.5, abs=0.05)
    assert "tail" in emitter.decay.method
    assert emitter.decay.tau_int_ns.value == pytest.approx(32.0, rel=0.03)
    assert emitter.decay.components[1].lifetime_ns.value == pytest.approx(35.6, abs=1.0)


def test_poissonian_light_without_sync(poissonian):
    assert (poissonian.records, poissonian.dropped) == (929_254, 9_077)
    assert poissonian.counts == {0: 531_477, 1: 388_700}
    assert poissonian.duration_s == pytest.approx(7.650390672756, abs=1e-9)
    assert poissonian.smallest_gap_ns == {0: pytest.approx(86.25, abs=0.005), 1: pytest.approx(86.64, abs=0.005)}
    assert poissonian.repetition_rate_Hz.value == pytest.approx(79.748e6, abs=0.003e6)
    assert poissonian.repetition_rate_Hz.error < 0.003e6
    assert poissonian.period_ns.value == pytest.approx(12.539, abs=5e-4)
    assert poissonian.g2.offset_ns == pytest.approx(-0.04, abs=0.01)
    assert poissonian.g2.near_far.value == pytest.approx(1.137, rel=0.01)
    assert not poissonian.g2.single_emitter


def test_g2_of_poissonian_light():
    report = report_photon_file(read_file(DATA / "picoquant" / "picoharp_v30_t2.ptu"), side_peaks=150)
    g2 = report.g2
    assert g2.n_central == pytest.approx(439, abs=1)
    assert g2.side_mean == pytest.approx(385.1, rel=0.001)
    assert g2.side_variance_over_mean == pytest.approx(1.02, abs=0.03)
    assert (g2.g2_0_raw.value, g2.sigma_poisson) == (pytest.approx(1.14, rel=0.01), pytest.approx(0.055, rel=0.02))


def test_the_example_of_the_docs(monkeypatch):
    """Up to the part that needs a catalog, which tests/acceptance/test_demo.py tries."""
    root = DATA.parents[1]
    page = (root / "docs" / "analysing.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("\n\nruns, is_series")[0]
    monkeypatch.chdir(root)
    printed = []
    names = {"print": lambda value: printed.append(str(value))}
    exec(example, names)
    (said,) = [line.split("# ")[1] for line in example.splitlines() if line.startswith("print(")]
    assert printed == [said]


@pytest.mark.parametrize("fit_bins", [None, (865, 3215)])
def test_atto550_with_its_response(fit_bins):
    report = analyse_file(DATA / "lifefit" / "Atto550_DNA.txt", irf=DATA / "lifefit" / "irf.txt", fit_bins=fit_bins)
    assert (report.counts, report.peak_counts, report.peak_channel) == (1_476_495, 10_000, 1035)
    assert report.irf_fwhm_ns == pytest.approx(0.274, abs=5e-4)
    assert report.tau_int_unweighted_ns.value == pytest.approx(3.61, rel=0.003)  # the documented value and convention
    assert report.decay.tau_int_ns.value == pytest.approx(3.694, rel=0.005)
    assert report.decay.tau_amp_ns.value == pytest.approx(3.164, rel=0.01)
    assert len(report.decay.components) == 2  # one exponential does not describe it
    assert len(report.origin.files) == 2


def test_atto550_without_a_response_says_what_is_missing():
    report = analyse_file(DATA / "lifefit" / "Atto550_DNA.txt")
    assert any("no response was given" in note for note in report.notes)
    assert "tail" in report.method
    assert report.tau_int_unweighted_ns is None


def test_spectra_of_files():
    report = analyse_file(DATA / "andor" / "measurement.sif")
    assert (report.frames, report.rows, report.columns) == (20, 1, 1024)
    assert (report.counts_sum, report.counts_min, report.counts_max) == (28_521_276, 610, 48_009)
    assert (report.brightest_column, report.brightest_nm) == (324, pytest.approx(549.97, abs=5e-3))
    assert report.axis_nm == pytest.approx((529.99984, 592.84125), abs=1e-5)
    assert report.line.peak_nm.value == pytest.approx(549.97, abs=0.02)
    sif, asc = (analyse_file(DATA / "andor" / f"raman1.{suffix}") for suffix in ("sif", "asc"))
    assert sif.brightest_column == asc.brightest_column == 1018
    assert sif.axis_nm == pytest.approx(asc.axis_nm, abs=2e-5)
    assert sif.counts_sum == pytest.approx(asc.counts_sum, rel=4.5e-6)
    assert sif.line is None and "no line" in sif.notes[1]  # the continuum rises to the edge


def test_images_of_files():
    report = analyse_file(DATA / "andor" / "image.sif")
    assert report.measurement == "image"
    assert report.counts_mean == pytest.approx(897.5725, abs=1e-4)
    assert report.counts_std == pytest.approx(80.489, abs=1e-3)
    assert (report.max_at, report.axis_nm, report.line) == ((0, 232, 321), None, None)
    corrupt = analyse_file(DATA / "andor" / "c0rrupt.sif", recover=True)
    assert corrupt.frames == 2
    assert any("corrupt" in text for text in corrupt.warnings)


def test_every_report_is_json_with_the_files_hash_and_has_a_picture(emitter, poissonian):
    paths = ("andor/measurement.sif", "andor/image.sif", "lifefit/Atto550_DNA.txt")
    for report in (emitter, poissonian, *(analyse_file(DATA / path) for path in paths)):
        found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
        assert len(found["origin"]["files"][0]["sha256"]) == 64
        assert found["origin"]["files"][0]["missing"]
        assert found["origin"]["target"] in draw_report(report).get_suptitle()


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("andor/image.sif", {"irf": "x.txt"}, "irf cannot be used"),
        ("picoquant/hydraharp_v10_t3.ptu", {"fit_bins": (1, 2)}, "fit_bins cannot be used"),
        ("lifefit/irf.txt", {"rho": (0.9, 0.9)}, "rho cannot be used"),
        ("lifefit/irf.txt", {"irf": DATA / "andor" / "raman1.sif"}, "no instrument response"),
        ("picoquant/picoharp_v30_t2.ptu", {"period_ns": -3.0}, "period_ns is -3.0"),
    ],
)
def test_arguments_that_do_not_belong_to_a_file(path, arguments, message):
    with pytest.raises(AnalysisError, match=message):
        analyse_file(DATA / path, **arguments)


def test_a_response_of_other_channels_is_refused(tmp_path):
    decay = read_file(DATA / "lifefit" / "Atto550_DNA.txt")
    text = (DATA / "lifefit" / "irf.txt").read_text().replace("2.743484E-02", "5.486968E-02")
    (tmp_path / "irf.txt").write_text(text)
    with pytest.raises(AnalysisError, match=r"channels of 54.8697 ps.*of 27.4348 ps"):
        report_decay_file(decay, read_file(tmp_path / "irf.txt"))


def test_light_without_pulses_has_no_g2_and_says_so():
    photons = read_file(DATA / "picoquant" / "picoharp_v30_t2.ptu")
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 10**12, 40_000))
    continuous = type(photons)(
        photons.facts, "T2", times, rng.integers(0, 2, times.size).astype(np.int8), 1.0, times.size, 0)  # fmt: skip
    report = report_photon_file(continuous)
    assert (report.g2, report.repetition_rate_Hz) == (None, None)
    assert any("no laser period" in text for text in report.warnings)


@pytest.mark.parametrize(
    ("photons", "says"), [(3000, "by blocks"), (40, "no lifetime"), (4, "no lifetime"), (3, "no g2")]
)
def test_few_photons_have_what_can_be_had_and_say_what_not(photons, says):
    whole = read_file(DATA / "picoquant" / "hydraharp_v10_t3.ptu")
    few = dataclasses.replace(
        whole, duration_s=float(whole.times_ps[photons - 1]) * 1e-12,
        **{name: getattr(whole, name)[:photons] for name in ("times_ps", "channels", "pulses", "delay_bins")},
    )  # fmt: skip
    report = report_photon_file(few)
    assert sum(report.counts.values()) == photons
    assert any(says in text for text in report.warnings), report.warnings


def test_the_repetition_rate_and_its_error():
    """200 simulated histograms: pulls of rate and offset."""
    rng = np.random.default_rng(0)
    period_ps, offset_ps, edges = 12539.4, -40.0, (np.arange(4_402) - 2_200.5) * 1000
    pulls = []
    for _ in range(200):
        pulsed = period_ps * rng.integers(-170, 171, 4_000) + rng.laplace(0, 2_000, 4_000) + offset_ps
        delays = np.concatenate([pulsed, rng.uniform(-2.2e6, 2.2e6, 2_000)])
        found = find_repetition_rate(np.histogram(delays, edges)[0], 1000, (1e9, 1e9))
        pulls.append(((found.rate_Hz - 1e12 / period_ps) / found.rate_err_Hz,
                      (found.offset_ns - offset_ps * 1e-3) / found.offset_err_ns))  # fmt: skip
    for pull in np.transpose(pulls):
        assert abs(pull.mean()) < norm.ppf(0.9999) / np.sqrt(200)
        assert pull.std() == pytest.approx(1.0, abs=0.2)


def test_the_repetition_rate_of_narrow_pulses_is_no_harmonic_of_it():
    rng = np.random.default_rng(2)
    delays = 50_000 * rng.integers(-79, 80, 20_000) + rng.normal(0, 100, 20_000)
    pairs = np.histogram(delays, (np.arange(80_002) - 40_000.5) * 100)[0]
    assert find_repetition_rate(pairs, 100, (1e6, 1e6)).rate_Hz == pytest.approx(20e6, rel=1e-5)
    with pytest.raises(AnalysisError, match="does not fit a histogram"):
        find_repetition_rate(pairs, 100, (1e6, 1e6), range_Hz=(1e3, 1e6))
