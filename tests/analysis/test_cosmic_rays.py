import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.cosmic_rays import contrast_of, remove_cosmic_rays, remove_cosmic_rays_between
from cryopl_bluesky.analysis.frames import clean_frame
from cryopl_bluesky.analysis.spectra import fit_line, frame_to_electrons, sum_rows

GAIN, READ_E, OFFSET = 0.45, 1.31, 100.0
CAMERA = {"gain_e_per_adu": GAIN, "read_noise_e": READ_E, "offset_adu": OFFSET}


def expose(rng, light_e):
    electrons = rng.poisson(light_e) + rng.normal(0, READ_E, np.shape(light_e))
    return np.clip(electrons / GAIN + OFFSET, 0, 65535).round().astype(np.uint16)


def narrow_line(shape, height_e=2e4, width_px=0.7, background_e=3.0):
    """A line of less than two pixels in wavelength, over all rows, brighter in the middle."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    along = np.exp(-(((rows - shape[0] / 2) / (shape[0] / 4)) ** 2))
    return background_e + height_e * along * np.exp(-0.5 * ((columns - 0.4 * shape[1]) / width_px) ** 2)


def inject(rng, raw, number, low_e=200, high_e=5000):
    """Hits of one to three pixels, at most two in a column, anywhere; returns the frame and where."""
    hit, struck = raw.astype(np.int64), np.zeros(raw.shape, bool)
    shapes = ([(0, 0)], [(0, 0), (1, 0)], [(0, 0), (0, 1)], [(0, 0), (1, 1)], [(0, 0), (1, 0), (0, 1)])
    for i in range(number):
        row, column = rng.integers(0, raw.shape[0] - 1), rng.integers(0, raw.shape[1] - 1)
        for down, right in shapes[i % len(shapes)]:
            hit[row + down, column + right] += int(rng.uniform(low_e, high_e) / GAIN)
            struck[row + down, column + right] = True
    return np.minimum(hit, 65535).astype(np.uint16), struck


def test_clean_full_frames_keep_their_pixels():
    """False positives below 1e-5 per pixel, where it is dark, at few photons, and on a narrow bright line."""
    rng = np.random.default_rng(1)
    shape = (2048, 2048)
    light = narrow_line(shape)
    light[:, :400] = 0.2
    found = clean_frame(expose(rng, light), **CAMERA).cosmic_ray_px
    assert len(found) < 1e-5 * light.size
    on_line = np.abs(found[:, 1] - 0.4 * 2048) < 4
    assert on_line.sum() <= 1


def test_injected_hits_are_found_and_line_areas_stay():
    rng = np.random.default_rng(2)
    light = narrow_line((512, 512), height_e=3000, width_px=2.0)
    hits = found = wrong = 0
    pulls = []
    for _ in range(20):
        raw, struck = inject(rng, expose(rng, light), 60)
        clean = clean_frame(raw, **CAMERA)
        mask = np.zeros(raw.shape, bool)
        mask[tuple(clean.cosmic_ray_px.T)] = True
        hits, found, wrong = hits + struck.sum(), found + (mask & struck).sum(), wrong + (mask & ~struck).sum()
        area = sum_rows(clean)
        assert area.variance is not None
        window = slice(190, 220)
        pulls.append((area.counts - light.sum(axis=0))[window].sum() / np.sqrt(area.variance[window].sum()))
    assert found >= 0.95 * hits
    assert wrong < 1e-5 * 20 * 512**2
    assert np.mean(pulls) == pytest.approx(0, abs=4 / np.sqrt(20))
    assert np.std(pulls) == pytest.approx(1, abs=0.6)


def test_a_line_fit_does_not_notice_the_cosmic_rays():
    rng = np.random.default_rng(3)
    axis = 500 + 0.1 * np.arange(512)
    light = narrow_line((512, 512), height_e=30, width_px=8.0)
    raw, _ = inject(rng, expose(rng, light), 200)
    dirty, clean = (clean_frame(raw, **CAMERA, cosmic_rays=on) for on in (False, True))
    area = (light - 3.0).sum()
    fits = [fit_line(axis, s.counts, s.variance) for s in (sum_rows(dirty), sum_rows(clean))]
    assert abs(fits[1].area - area) < 4 * fits[1].area_err
    assert fits[1].reduced_chi2 == pytest.approx(1, abs=0.35)
    assert fits[0].reduced_chi2 > 3  # so the test would notice


def test_the_image_of_a_point_is_no_cosmic_ray():
    """Diffraction-limited emitters, 2.75 rows high, 20000 electrons: also where noise is far below their curvature."""
    rng = np.random.default_rng(4)
    rows, columns = np.arange(256)[:, None], np.arange(256)
    light = np.full((256, 256), 1.0)
    for k in range(9):
        centre_row, centre_column = 30 + 25 * k + k / 9, 30 + 20 * k
        light = light + 20000 * np.exp(
            -((rows - centre_row) ** 2 + (columns - centre_column) ** 2) / (2 * (2.75 / 2.3548) ** 2)
        )
    assert len(clean_frame(expose(rng, light), **CAMERA).cosmic_ray_px) == 0
    assert len(clean_frame(expose(rng, light), **CAMERA, image_fwhm_rows=30.0).cosmic_ray_px) > 0


def test_contrast_of_a_point_image():
    """The largest ratio of a row to the second highest of its four neighbours, wherever the point lies."""
    ratios = []
    for shift in np.linspace(-0.5, 0.5, 101):
        image = np.exp(-4 * np.log(2) * ((np.arange(-4, 5) - shift) / 3.0) ** 2)
        ratios += [image[i] / np.sort(image[[i - 2, i - 1, i + 1, i + 2]])[-2] for i in (3, 4, 5)]
    assert contrast_of(3.0) == pytest.approx(max(ratios) - 1)


def test_single_frame_test_on_electrons_is_that_of_the_compiled_pass():
    rng = np.random.default_rng(5)
    raw, _ = inject(rng, expose(rng, narrow_line((128, 256))), 30)
    result = remove_cosmic_rays(frame_to_electrons(raw, **CAMERA))
    compiled = clean_frame(raw, **CAMERA)
    np.testing.assert_array_equal(np.argwhere(result.hits), compiled.cosmic_ray_px)
    np.testing.assert_allclose(result.frame.electrons, compiled.electrons, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(result.frame.variance, compiled.variance, rtol=1e-5, atol=1e-3)
    assert result.replaced == result.hits.sum() >= 30
    assert result.method == "neighbouring rows"


@pytest.mark.parametrize("number", [2, 3, 5])
def test_hits_between_frames_are_found_whatever_their_height(number):
    """Also tracks along a column, which one frame alone cannot tell from a line."""
    rng = np.random.default_rng(6)
    light = narrow_line((256, 256), height_e=2000, width_px=1.0)
    frames, struck = [], []
    for k in range(number):
        raw, where = inject(rng, expose(rng, light), 20, low_e=500)
        raw[40 + 10 * k : 48 + 10 * k, 200] += 2000
        where[40 + 10 * k : 48 + 10 * k, 200] = True
        frames.append(frame_to_electrons(raw, **CAMERA))
        struck.append(where)
    results = remove_cosmic_rays_between(frames)
    hits = np.stack([result.hits for result in results])
    truth = np.stack(struck)
    alone = truth & (truth.sum(axis=0) == 1)
    assert hits[alone].mean() >= 0.95
    assert (hits & ~truth).sum() <= 1e-5 * truth.size + 1
    # the sum of the cleaned frames has the signal, and the variance that its replaced pixels leave it
    total = sum(result.frame.electrons for result in results)
    variance = sum(result.frame.variance for result in results)
    pulls = ((total - number * light) / np.sqrt(variance))[hits.any(axis=0) & (truth.sum(axis=0) == 1)]
    assert pulls.mean() == pytest.approx(0, abs=5 / np.sqrt(pulls.size))
    assert pulls.std() == pytest.approx(1, abs=5 / np.sqrt(2 * pulls.size))


@pytest.mark.parametrize("light_e", [0.1, 9.0, 1000.0])
def test_noise_of_a_few_photons_is_no_hit(light_e):
    rng = np.random.default_rng(9)
    frames = [frame_to_electrons(expose(rng, np.full((700, 1000), light_e)), **CAMERA) for _ in range(2)]
    assert sum(result.replaced for result in remove_cosmic_rays_between(frames)) < 1e-5 * 1.4e6
    assert sum(remove_cosmic_rays(frame).replaced for frame in frames) < 1e-5 * 1.4e6


def test_shot_noise_and_brightness_drift_are_no_hits():
    rng = np.random.default_rng(7)
    light = narrow_line((1024, 1024), height_e=26000)
    frames = [frame_to_electrons(expose(rng, light * (1 + 0.045 * k)), **CAMERA) for k in range(2)]
    assert sum(result.replaced for result in remove_cosmic_rays_between(frames)) < 1e-5 * 2 * light.size
    strict = remove_cosmic_rays_between(frames, threshold_sigma=4.5, brightness_tolerance=0.0)
    assert sum(result.replaced for result in strict) > 20


def test_wrong_gain_is_refused_or_noted():
    raw = expose(np.random.default_rng(8), np.full((64, 64), 1000.0))
    with pytest.raises(AnalysisError, match="cannot be those of this frame"):
        clean_frame(raw, gain_e_per_adu=30.0, read_noise_e=READ_E, offset_adu=OFFSET, image_fwhm_rows=50)
    frame = frame_to_electrons(raw, gain_e_per_adu=30.0, read_noise_e=READ_E, offset_adu=OFFSET)
    assert "too many" in remove_cosmic_rays(frame, image_fwhm_rows=50).notes[0]


FRAME = frame_to_electrons(np.full((8, 8), 100), **CAMERA)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: remove_cosmic_rays_between([FRAME]), "at least two"),
        (lambda: remove_cosmic_rays(FRAME, threshold_sigma=1), "threshold_sigma"),
        (lambda: remove_cosmic_rays(FRAME, image_fwhm_rows=0), "image_fwhm_rows"),
        (lambda: remove_cosmic_rays_between([FRAME, FRAME], brightness_tolerance=-1), "brightness_tolerance"),
        (
            lambda: remove_cosmic_rays_between([FRAME, frame_to_electrons(np.full((8, 9), 100), **CAMERA)]),
            "shape",
        ),
        (lambda: remove_cosmic_rays(frame_to_electrons(np.full((4, 8), 100), **CAMERA)), "needs 5 rows"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()
