import numpy as np
import pytest
from scipy.integrate import quad
from scipy.signal import fftconvolve
from scipy.special import voigt_profile

from cryopl_bluesky.analysis import AnalysisError, FitError
from cryopl_bluesky.analysis._line_shapes import shares
from cryopl_bluesky.analysis.multi_peak import choose_model, fit_peaks
from cryopl_bluesky.analysis.spectra import describe_line, jacobian_peak_eV, per_eV, per_nm, pixel_edges
from cryopl_bluesky.analysis.units import FWHM_PER_SIGMA, HC_EV_NM, nm_to_eV

AXIS = 525.0 + (np.arange(256) - 128) * 0.12
READ2 = 9.0


def line(shape, centre, area, gauss=0.0, other=0.0, axis=AXIS):
    """Counts per pixel by fine sums of the textbook densities: not the code under test."""
    edges = HC_EV_NM / pixel_edges(axis)
    fine = np.linspace(edges.min(), edges.max(), 40 * axis.size + 1)
    energy = 0.5 * (fine[1:] + fine[:-1])
    step, sigma, gamma = fine[1] - fine[0], gauss / FWHM_PER_SIGMA, other / 2
    if shape == "lorentzian":
        density = gamma / np.pi / ((energy - centre) ** 2 + gamma**2)
    elif shape.startswith("emg"):
        side = -1 if shape == "emg_low" else 1
        tail = np.exp(-np.arange(0, 20 * other, step) / other)
        tail[0] *= 0.5
        gaussian = np.exp(-0.5 * ((energy - centre) / sigma) ** 2)
        density = fftconvolve(gaussian[::side], tail / tail.sum())[: energy.size][::side] / gaussian.sum() / step
    else:
        density = voigt_profile(energy - centre, sigma, gamma)
    cumulative = np.concatenate([[0.0], np.cumsum(density) * step])
    return area * np.abs(np.diff(np.interp(edges, fine, cumulative)))


def noisy(rng, expected, read2=READ2):
    return rng.poisson(expected) + rng.normal(0, np.sqrt(read2), expected.size)


SHAPES = {
    "gaussian": {"centre": 2.36, "area": 3e3, "gauss": 0.030},
    "lorentzian": {"centre": 2.36, "area": 5e3, "other": 0.012},
    "voigt": {"centre": 2.36, "area": 4e4, "gauss": 0.016, "other": 0.012},
    "emg_low": {"centre": 2.37, "area": 1e4, "gauss": 0.015, "other": 0.015},
    "emg_high": {"centre": 2.35, "area": 1e4, "gauss": 0.015, "other": 0.015},
}


def parts(peak):
    """Fitted values and errors by name."""
    other = [(peak.lorentz_fwhm_eV, peak.lorentz_fwhm_eV_err), (peak.tail_eV, peak.tail_eV_err)]
    return {
        "centre": (peak.centre_eV, peak.centre_eV_err),
        "area": (peak.area, peak.area_err),
        "gauss": (peak.gauss_fwhm_eV, peak.gauss_fwhm_eV_err),
        "other": next((pair for pair in other if pair[0] is not None), (None, None)),
    }


def pulls_of(shape, read2, number, seed):
    """(Fitted - true)/error of all parameters, background last."""
    truth, background = SHAPES[shape], 12.0
    rng = np.random.default_rng(seed)
    expected = line(shape, **truth) + background
    pulls = []
    for _ in range(number):
        fit = fit_peaks(AXIS, noisy(rng, expected, read2), noise_variance=read2, shape=shape)
        found = parts(fit.peaks[0])
        row = [(found[name][0] - value) / found[name][1] for name, value in truth.items()]
        pulls.append([*row, (fit.background[0] - background) / fit.background_err[0]])
    return np.array(pulls)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("read2", [0.0, READ2])
def test_pulls_of_200_spectra(shape, read2):
    """The estimates are unbiased and scatter as their errors say; no fit fails. 0.15 is 2 sigma of a mean of 200."""
    pulls = pulls_of(shape, read2, 200, seed=21)
    assert np.abs(pulls.mean(axis=0)).max() < 0.15
    assert pulls.std(axis=0) == pytest.approx(1, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_pulls_of_500_spectra(shape):
    """The same where 0.15 is 3.4 sigma, with another seed."""
    pulls = pulls_of(shape, READ2, 500, seed=22)
    assert np.abs(pulls.mean(axis=0)).max() < 0.15
    assert pulls.std(axis=0) == pytest.approx(1, abs=0.1)


def test_lmfit_agrees():
    """The same Voigt profile with the same weights in lmfit: a second opinion on values and errors."""
    from lmfit.models import ConstantModel, VoigtModel

    rng = np.random.default_rng(23)
    counts = noisy(rng, line("voigt", 2.36, 4e4, 0.016, 0.012) + 12)
    fit = fit_peaks(AXIS, counts, noise_variance=READ2, shape="voigt")
    edges = HC_EV_NM / pixel_edges(AXIS)
    energy, width = 0.5 * (edges[1:] + edges[:-1]), np.abs(np.diff(edges))
    model = VoigtModel() + ConstantModel()
    parameters = model.make_params(amplitude=4e4 * width.mean(), center=2.36, sigma=0.007, c=12)
    parameters["gamma"].set(value=0.006, vary=True, expr="")
    # lmfit has no pixel widths of their own: they change by 12 % over the axis, so density and weights are scaled
    stretch = width / width.mean()
    got = model.fit(
        (counts - 12 * (1 - stretch)) / stretch, parameters, x=energy, weights=stretch / np.sqrt(fit.expected + READ2),
        scale_covar=False,
    ).params
    peak = fit.peaks[0]
    assert peak.centre_eV == pytest.approx(got["center"].value, abs=0.2 * peak.centre_eV_err)
    assert peak.centre_eV_err == pytest.approx(got["center"].stderr, rel=0.05)
    assert peak.gauss_fwhm_eV == pytest.approx(FWHM_PER_SIGMA * got["sigma"].value, abs=0.2 * peak.gauss_fwhm_eV_err)
    assert peak.lorentz_fwhm_eV == pytest.approx(2 * got["gamma"].value, abs=0.2 * peak.lorentz_fwhm_eV_err)
    assert peak.lorentz_fwhm_eV_err == pytest.approx(2 * got["gamma"].stderr, rel=0.05)


def test_few_counts_have_no_neyman_bias():
    """800 counts on 2 per pixel: weights from the counts themselves lose some 15 % of the background."""
    rng = np.random.default_rng(9)
    expected = line("gaussian", 2.36, 800, 0.02) + 2.0
    areas, backgrounds, neyman = [], [], []
    for _ in range(200):
        counts = rng.poisson(expected)
        fit = fit_peaks(AXIS, counts, noise_variance=0.0)
        areas.append(fit.peaks[0].area)
        backgrounds.append(fit.background[0])
        design = np.stack([expected - 2.0, np.ones(AXIS.size)], axis=1)
        weight = 1 / np.maximum(counts, 1)
        neyman.append(np.linalg.solve(design.T @ (design * weight[:, None]), design.T @ (counts * weight))[1])
    assert np.mean(areas) == pytest.approx(800, abs=4 * np.std(areas) / np.sqrt(200))
    assert np.mean(backgrounds) == pytest.approx(2, abs=4 * np.std(backgrounds) / np.sqrt(200))
    assert np.mean(neyman) < 1.8


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_the_textbook_densities(shape):
    truth = SHAPES[shape]
    edges = np.sort(HC_EV_NM / pixel_edges(AXIS))
    got = truth["area"] * shares(
        shape, edges, truth["centre"], truth.get("gauss", 0.0), truth.get("other", 0.0)
    )[0]
    np.testing.assert_allclose(got[::-1], line(shape, **truth), rtol=1e-3, atol=1e-4 * got.max())


@pytest.mark.parametrize("shape", [*SHAPES, "emg_low"])
def test_derivatives_of_the_shapes(shape):
    edges, at = np.linspace(2.2, 2.5, 301), np.array([2.36, np.log(0.02), np.log(0.008)])

    def share(q):
        gauss = 0.0 if shape == "lorentzian" else np.exp(q[1])
        other = 0.0 if shape == "gaussian" else np.exp(q[2])
        return shares(shape, edges, q[0], gauss, other)

    for i in range(3):
        step = np.eye(3)[i] * 1e-5
        numeric = (share(at + step)[0] - share(at - step)[0]) / 2e-5
        np.testing.assert_allclose(share(at)[1 + i], numeric, atol=2e-5 * max(1, np.abs(numeric).max()))


def test_voigt_width_of_the_vectors(vectors):
    v = vectors["voigt_fwhm_olivero"]
    axis = HC_EV_NM / np.linspace(2.66, 2.06, 2001)
    counts = line("voigt", 2.36, 1e9, v["fG"], v["fL"], axis)
    peak = fit_peaks(axis, counts, counts + 1, shape="voigt").peaks[0]
    assert peak.fwhm_eV == pytest.approx(v["approx"], rel=3e-4)
    assert peak.fwhm_eV == pytest.approx(0.0615375, rel=3e-4)
    assert describe_line(axis, counts).fwhm_eV == pytest.approx(0.0615375, rel=0.01)


def test_jacobian_vectors(vectors):
    """The maximum of S_lambda lies where the closed form says, that of S_E at the energy put in."""
    j = vectors["jacobian"]
    axis = np.linspace(500, 550, 4001)
    counts = line("gaussian", j["E0"], 1e9, j["fwhm_eV"], axis=axis)
    top = int(np.argmax(per_nm(axis, counts)))
    assert axis[top] == pytest.approx(j["lambda_star_nm"], abs=0.013)
    assert jacobian_peak_eV(j["E0"], j["fwhm_eV"]) == pytest.approx(j["E_star"], rel=1e-9)
    spectrum = per_eV(axis, counts, counts)
    assert spectrum.energy_eV[np.argmax(spectrum.density)] == pytest.approx(j["E0"], abs=6e-5)
    assert fit_peaks(axis, counts, counts + 1).peaks[0].centre_eV == pytest.approx(j["E0"], abs=1e-6)
    for nm, eV in vectors["nm_eV"].items():
        assert nm_to_eV(float(nm)) == pytest.approx(eV, rel=1e-9)


def test_density_in_energy_has_the_errors_of_the_counts():
    """Also where the pixels differ in width: counts, not densities, are conserved, and so are relative errors."""
    axis = 500 + 60 * np.linspace(0, 1, 400) ** 1.3
    counts = np.linspace(100, 900, 400)
    spectrum = per_eV(axis, counts, counts)
    assert spectrum.sigma is not None
    np.testing.assert_allclose(spectrum.sigma / spectrum.density, 1 / np.sqrt(counts[::-1]), rtol=1e-12)
    widths = np.abs(np.diff(HC_EV_NM / pixel_edges(axis)))[::-1]
    np.testing.assert_allclose(spectrum.density * widths, counts[::-1], rtol=1e-6)


def test_peak_energy_within_a_tenth_of_a_meV_at_high_counts():
    rng = np.random.default_rng(10)
    for shape, truth in SHAPES.items():
        expected = line(shape, **{**truth, "area": 1e7}) + 20.0
        peak = fit_peaks(AXIS, noisy(rng, expected), noise_variance=READ2, shape=shape).peaks[0]
        assert peak.centre_eV == pytest.approx(truth["centre"], abs=1e-4)


def test_maximum_and_width_of_an_asymmetric_line():
    truth = SHAPES["emg_low"]
    fit = fit_peaks(AXIS, line("emg_low", **{**truth, "area": 1e8}), noise_variance=1.0, shape="emg_low")
    peak = fit.peaks[0]
    sigma, tau = truth["gauss"] / FWHM_PER_SIGMA, truth["other"]

    def density(energy):
        tail = lambda t: np.exp(-t / tau - 0.5 * ((energy + t - truth["centre"]) / sigma) ** 2)  # noqa: E731
        return quad(tail, 0, 0.2, limit=200)[0]

    energy = np.linspace(2.32, 2.40, 1601)
    values = np.array([density(e) for e in energy])
    above = energy[values >= values.max() / 2]
    assert peak.maximum_eV == pytest.approx(energy[values.argmax()], abs=6e-5)
    assert peak.fwhm_eV == pytest.approx(np.ptp(above), abs=1e-4)
    assert peak.maximum_eV < peak.centre_eV


TWO = [(2.34, 6e3, 0.018), (2.375, 3e3, 0.018)]


def spectrum_of(lines, shape="gaussian", background=6.0):
    return background + sum(line(shape, c, a, *((w, 0.0) if shape == "gaussian" else (0.0, w))) for c, a, w in lines)


@pytest.mark.parametrize(("lines", "number"), [([(2.36, 4e3, 0.03)], 1), (TWO, 2)])
def test_bic_finds_the_number_of_lines(lines, number):
    rng = np.random.default_rng(11)
    expected = spectrum_of(lines)
    right = sum(
        len(choose_model(AXIS, noisy(rng, expected), noise_variance=READ2, shapes=("gaussian",)).best.peaks) == number
        for _ in range(40)
    )
    assert right >= 38


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "number", "shapes"),
    [
        ("gaussian", 1, ("gaussian", "lorentzian")),
        ("lorentzian", 1, ("gaussian", "lorentzian")),
        ("gaussian", 2, ("gaussian",)),
        ("gaussian", 3, ("gaussian",)),
    ],
)
def test_bic_finds_number_and_shape_in_95_percent_of_200_spectra(shape, number, shapes):
    """The peaks at 522, 527 and 530 nm; with one or two more allowed than there are."""
    rng = np.random.default_rng(12)
    lines = [(2.3393, 1e4, 0.008), (2.3526, 6e3, 0.008), (2.3752, 8e3, 0.008)][:number]
    expected = spectrum_of(lines, shape)
    right = 0
    for _ in range(200):
        best = choose_model(
            AXIS, noisy(rng, expected), noise_variance=READ2, shapes=shapes, max_peaks=number + 2
        ).best
        right += (best.shape, len(best.peaks)) == (shape, number)
    assert right >= 190


def test_shape_is_chosen_by_bic():
    rng = np.random.default_rng(13)
    for shape, truth in SHAPES.items():
        expected = line(shape, **{**truth, "area": 1e5}) + 10.0
        choice = choose_model(
            AXIS, noisy(rng, expected), noise_variance=READ2, shapes=tuple(SHAPES), max_peaks=1
        )
        assert choice.best.shape == shape
        assert choice.best.good_fit
        assert choice.lead is not None and choice.decided == (choice.lead > 6)
        assert choice.decided or shape == "gaussian"  # a tail may always be too short to be seen


def test_choice_says_when_it_is_none():
    rng = np.random.default_rng(24)
    three = spectrum_of([(2.33, 5e3, 0.01), (2.35, 5e3, 0.01), (2.38, 5e3, 0.01)])
    choice = choose_model(AXIS, noisy(rng, three), noise_variance=READ2, shapes=("gaussian",), max_peaks=2)
    assert any("raise max_peaks" in note for note in choice.notes)
    assert any("does not describe the data" in note for note in choice.notes)
    hardly_skew = line("emg_low", 2.36, 2e4, 0.03, 0.005) + 6.0
    choice = choose_model(
        AXIS, noisy(rng, hardly_skew), noise_variance=READ2, shapes=("gaussian", "emg_low"), max_peaks=1
    )
    assert not choice.decided and any("nearly as well" in note for note in choice.notes)


def test_two_lines_with_a_shared_width_have_honest_errors():
    rng = np.random.default_rng(14)
    expected = spectrum_of([(2.35, 6e3, 0.018), (2.37, 3e3, 0.018)])
    pulls = []
    for _ in range(100):
        fit = fit_peaks(AXIS, noisy(rng, expected), noise_variance=READ2, peaks=2, share_width=True)
        low, high = fit.peaks
        assert low.gauss_fwhm_eV == high.gauss_fwhm_eV
        pulls.append([
            (low.centre_eV - 2.35) / low.centre_eV_err, (high.centre_eV - 2.37) / high.centre_eV_err,
            (low.area - 6e3) / low.area_err, (high.area - 3e3) / high.area_err,
            (low.fwhm_eV - 0.018) / low.fwhm_eV_err,
        ])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.4
    assert np.std(pulls, axis=0) == pytest.approx(1, abs=0.28)


def test_known_instrument_width_is_taken_out_of_every_line():
    """Lorentzian lines seen through a Gaussian instrument: Voigt profiles with one known width."""
    instrument_nm = 1.0
    gauss = [instrument_nm * centre**2 / HC_EV_NM for centre in (2.34, 2.38)]
    expected = 5.0 + line("voigt", 2.34, 3e5, gauss[0], 0.006) + line("voigt", 2.38, 2e5, gauss[1], 0.010)
    fit = fit_peaks(
        AXIS, expected, noise_variance=READ2, shape="lorentzian", peaks=2, instrument_fwhm_nm=instrument_nm
    )
    assert [peak.lorentz_fwhm_eV for peak in fit.peaks] == pytest.approx([0.006, 0.010], rel=1e-3)
    assert [peak.area for peak in fit.peaks] == pytest.approx([3e5, 2e5], rel=1e-3)
    gaussian = line("gaussian", 2.36, 1e6, 0.010)
    fit = fit_peaks(AXIS, gaussian, noise_variance=READ2, instrument_fwhm_nm=instrument_nm)
    assert fit.peaks[0].fwhm_eV == pytest.approx(np.sqrt(0.010**2 - (2.36**2 / HC_EV_NM) ** 2), rel=1e-3)
    with pytest.raises(FitError):
        fit_peaks(AXIS, line("gaussian", 2.36, 1e6, 0.003), noise_variance=READ2, instrument_fwhm_nm=instrument_nm)


def test_shared_instrument_width_of_voigt_lines_is_found():
    expected = 5.0 + line("voigt", 2.34, 1e6, 0.008, 0.006) + line("voigt", 2.38, 1e6, 0.008, 0.012)
    fit = fit_peaks(AXIS, expected, noise_variance=READ2, shape="voigt", peaks=2, share_width=True)
    assert [peak.gauss_fwhm_eV for peak in fit.peaks] == pytest.approx([0.008, 0.008], rel=2e-3)
    assert [peak.lorentz_fwhm_eV for peak in fit.peaks] == pytest.approx([0.006, 0.012], rel=2e-3)


def test_fixed_separation_and_sloping_background_for_a_weak_line():
    rng = np.random.default_rng(15)
    position = np.linspace(1, -1, AXIS.size)  # from high to low energy
    expected = line("gaussian", 2.35, 2e4, 0.016) + line("gaussian", 2.366, 1e3, 0.016) + 20 + 8 * position
    fit = fit_peaks(
        AXIS, noisy(rng, expected), noise_variance=READ2, peaks=2, share_width=True, separations_eV=[0.016],
        background_degree=1,
    )
    low, high = fit.peaks
    assert high.centre_eV - low.centre_eV == pytest.approx(0.016)
    assert abs(high.area - 1e3) < 4 * high.area_err
    assert np.all(np.abs(fit.background - [20, 8]) < 4 * fit.background_err)
    assert len(fit.parameters) == len(fit.parameter_names) == 6
    below = fit_peaks(
        AXIS, noisy(rng, expected), noise_variance=READ2, peaks=2, share_width=True, separations_eV=[-0.016],
        background_degree=1,
    )
    assert below.peaks[1].centre_eV == pytest.approx(2.366, abs=5e-4)
    assert abs(below.peaks[0].area - 2e4) < 4 * below.peaks[0].area_err


def test_saturated_pixels_are_not_fitted():
    counts = line("gaussian", 2.36, 1e5, 0.03) + 10
    clipped = np.minimum(counts, 0.7 * counts.max())
    saturated = clipped < counts
    fit = fit_peaks(AXIS, clipped, noise_variance=READ2, exclude=saturated)
    assert fit.peaks[0].area == pytest.approx(1e5, rel=1e-3)
    assert fit.pixels == AXIS.size - saturated.sum()
    assert fit_peaks(AXIS, clipped, noise_variance=READ2).good_fit is False


def test_start_energies_and_direction_of_the_axis():
    rng = np.random.default_rng(16)
    counts = noisy(rng, spectrum_of(TWO))
    found = fit_peaks(AXIS, counts, noise_variance=READ2, peaks=2)
    given = fit_peaks(AXIS[::-1], counts[::-1], noise_variance=READ2, peaks=2, start_eV=[2.38, 2.335])
    assert [p.centre_eV for p in given.peaks] == pytest.approx([p.centre_eV for p in found.peaks], abs=1e-6)
    np.testing.assert_allclose(given.expected[::-1], found.expected, rtol=1e-4)


def test_description_without_a_model_has_honest_errors():
    rng = np.random.default_rng(17)
    expected = line("gaussian", 2.36, 2e4, 0.03) + 12
    pulls = []
    for _ in range(60):
        counts = noisy(rng, expected)
        d = describe_line(AXIS, counts, variance=np.maximum(counts, 0) + READ2)
        assert d.maximum_eV_err and d.centroid_eV_err and d.fwhm_eV_err and d.area_err
        pulls.append([
            (d.maximum_eV - 2.36) / d.maximum_eV_err, (d.centroid_eV - 2.36) / d.centroid_eV_err,
            (d.fwhm_eV - 0.03) / d.fwhm_eV_err, (d.area - 2e4) / d.area_err,
        ])
    assert np.abs(np.mean(pulls, axis=0)).max() < 4 / np.sqrt(60) + 0.3  # the width is good to 1 %
    assert np.all((np.std(pulls, axis=0) > 0.6) & (np.std(pulls, axis=0) < 1.3))


def test_air_wavelengths_are_converted_only_when_asked():
    counts = line("gaussian", 2.36, 1e6, 0.03) + 10
    plain, air, vacuum = (
        fit_peaks(AXIS, counts, noise_variance=READ2, wavelength_medium=medium)
        for medium in ("air, not converted", "air", "vacuum")
    )
    assert plain.peaks[0].centre_eV == vacuum.peaks[0].centre_eV
    assert plain.peaks[0].centre_eV - air.peaks[0].centre_eV == pytest.approx(0.66e-3, abs=0.01e-3)
    assert "air" in plain.notes[-1]
    assert not any("air" in note for note in (*air.notes, *vacuum.notes))
    assert per_eV(AXIS, counts, wavelength_medium="air").energy_eV[0] < per_eV(AXIS, counts).energy_eV[0]


ONES = np.ones(AXIS.size)
LINE = line("gaussian", 2.36, 1e4, 0.03) + 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_peaks(AXIS, np.where(AXIS > 525, np.nan, LINE)), "counts holds .* NaN"),
        (lambda: fit_peaks(np.where(AXIS > 525, np.nan, AXIS), LINE), "wavelength_nm holds"),
        (lambda: fit_peaks(AXIS, LINE, ONES * np.nan), "variance holds"),
        (lambda: fit_peaks(AXIS, LINE - 10, noise_variance=0.0), "counts is negative"),
        (lambda: fit_peaks(AXIS, LINE, noise_variance=-1.0), "noise_variance is negative"),
        (lambda: fit_peaks(AXIS, LINE, ONES, noise_variance=1.0), "not both"),
        (lambda: fit_peaks(AXIS, LINE[:-1]), "shape"),
        (lambda: fit_peaks(AXIS, LINE, ONES[:-1]), "shape"),
        (lambda: fit_peaks(AXIS, LINE, exclude=np.zeros(3, bool)), "shape"),
        (lambda: fit_peaks(AXIS, LINE, exclude=np.ones(AXIS.size, bool)), "All 256 pixels are excluded"),
        (lambda: fit_peaks(AXIS[:0], LINE[:0]), "empty"),
        (lambda: fit_peaks(AXIS[126:130], LINE[126:130], noise_variance=1.0), "4 pixels cannot determine 4"),
        (lambda: fit_peaks(ONES, LINE), "must rise"),
        (lambda: fit_peaks(AXIS - 600, LINE), "above zero"),
        (lambda: fit_peaks(AXIS, LINE, shape="sinc"), "shape is 'sinc'"),
        (lambda: fit_peaks(AXIS, LINE, peaks=0), "peaks is 0"),
        (lambda: fit_peaks(AXIS, LINE, background_degree=9), "background_degree"),
        (lambda: fit_peaks(AXIS, LINE, peaks=2, start_eV=[2.36]), "start_eV has 1"),
        (lambda: fit_peaks(AXIS, LINE, peaks=3, separations_eV=[0.1]), "separations_eV has 1"),
        (lambda: fit_peaks(AXIS, LINE, instrument_fwhm_nm=0), "instrument_fwhm_nm"),
        (lambda: fit_peaks(AXIS, LINE, wavelength_medium="water"), "wavelength_medium"),
        (lambda: choose_model(AXIS, LINE, shapes=()), "at least one shape"),
        (lambda: describe_line(AXIS, LINE, 0), "smooth_px"),
        (lambda: describe_line(AXIS, ONES), "flat"),
        (lambda: fit_peaks(AXIS, ONES * 0, noise_variance=READ2), "No line found"),
        (lambda: fit_peaks(AXIS, ONES * 5, noise_variance=READ2), "No line found"),
        (lambda: fit_peaks(AXIS, ONES + 1e4 * (np.arange(256) == 99), noise_variance=READ2), "cosmic ray"),
        (lambda: fit_peaks(AXIS, np.arange(256.0), noise_variance=READ2), "No line found"),
        (lambda: describe_line(AXIS, np.linspace(0, 100, AXIS.size)), "edge of the spectrum"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()


def test_more_lines_than_the_counts_support_are_refused():
    rng = np.random.default_rng(18)
    counts = noisy(rng, spectrum_of([(2.36, 4e3, 0.03)]))
    with pytest.raises(FitError):
        fit_peaks(AXIS, counts, noise_variance=READ2, peaks=2)
    with pytest.raises(FitError):
        fit_peaks(AXIS, counts, noise_variance=READ2, peaks=3, share_width=True)
    with pytest.raises(FitError):
        choose_model(AXIS, noisy(rng, np.full(AXIS.size, 6.0)), noise_variance=READ2)
