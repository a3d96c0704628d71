import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.dark_frames import dark_reference
from cryopl_bluesky.analysis.frames import clean_frame
from cryopl_bluesky.analysis.row_spectra import (
    RowScale,
    bin_axis,
    bin_frame,
    line_total_spectrum,
    spectra_at,
    sum_frames,
)
from cryopl_bluesky.analysis.spectra import Electrons, frame_to_electrons, sum_rows

GAIN, READ_E, OFFSET = 0.45, 1.31, 100.0
CAMERA = {"gain_e_per_adu": GAIN, "read_noise_e": READ_E}


def expose(rng, light_e, dark_e=0.1):
    """Raw frame of a camera with Poisson electrons, Gaussian read noise, 16 bits."""
    electrons = rng.poisson(light_e + dark_e) + rng.normal(0, READ_E, np.shape(light_e))
    return np.clip(electrons / GAIN + OFFSET, 0, 65535).round().astype(np.uint16)


@pytest.fixture(scope="module")
def camera():
    """Dark signal per pixel with 30 hot ones, and 9 dark frames."""
    rng = np.random.default_rng(1)
    dark_e = np.full((240, 320), 0.1)
    dark_e.ravel()[rng.choice(dark_e.size, 30, replace=False)] = rng.uniform(30, 900, 30)
    dark_e[100:102, 50] = 500.0  # two above each other
    frames = np.stack([expose(rng, np.zeros_like(dark_e), dark_e) for _ in range(9)])
    return dark_e, frames


@pytest.fixture(scope="module")
def dark(camera):
    return dark_reference(camera[1], **CAMERA, offset_adu=OFFSET)


def test_hot_pixels_are_those_put_in(camera, dark):
    np.testing.assert_array_equal(dark.hot, camera[0] > 1)
    assert dark.dark_e == pytest.approx(0.1, abs=0.02)
    assert dark.frames == 9


def test_noisy_pixels_and_hits_in_a_dark_frame_are_found(camera):
    frames = camera[1].copy()
    frames[4, 20, 30:33] += 2000  # a cosmic ray in one of the dark frames
    frames[:, 7, 9] = OFFSET + np.random.default_rng(0).normal(0, 25, 9)  # random telegraph noise
    dark = dark_reference(frames, **CAMERA, offset_adu=OFFSET)
    assert dark.hot[7, 9] and not dark.hot[20, 30:33].any()
    assert dark.cosmic_ray_px >= 3
    assert dark.mean_adu[20, 31] == pytest.approx(OFFSET, abs=5 * READ_E / GAIN / 3)


def test_clean_frame_has_the_signal_and_its_variance(camera, dark):
    """Signal without bias and pulls of width 1, against the expectation that was put in."""
    rng = np.random.default_rng(2)
    light = np.full(camera[0].shape, 2.0)
    light[:, 150:160] = 400.0
    clean = clean_frame(expose(rng, light, camera[0]), **CAMERA, dark=dark, bin_rows=8)
    assert clean.electrons.shape == (30, 320)
    assert clean.hot_px == 32
    truth = light.reshape(30, 8, 320).sum(axis=1)
    for columns in (slice(0, 150), slice(150, 160)):
        signal, expected, variance = (a[:, columns] for a in (clean.electrons, truth, clean.variance))
        assert signal.sum() == pytest.approx(expected.sum(), abs=4 * np.sqrt(variance.sum()))
        scatter = (signal - expected) ** 2
        assert scatter.mean() / variance.mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / scatter.size) + 0.02)


def test_replaced_hot_pixels_leave_row_sums_unbiased_with_the_right_variance():
    """40 of 256 pixels of each column are hot: if they counted as measured, the sums were too sure."""
    rng = np.random.default_rng(3)
    hot = np.zeros((256, 2000))
    hot[3::6] = 800.0
    hot[3::6, ::2] = 0.1  # in every other column
    frames = np.stack([expose(rng, np.zeros_like(hot), hot + 0.1) for _ in range(20)])
    hot_columns = slice(1, None, 2)
    with pytest.raises(AnalysisError, match="look hot"):
        dark_reference(frames, **CAMERA, offset_adu=OFFSET)
    hot[: 5 * 43] = 0.1
    frames = np.stack([expose(rng, np.zeros_like(hot), hot) for _ in range(20)])
    dark = dark_reference(frames, **CAMERA, offset_adu=OFFSET)
    total = sum_rows(clean_frame(expose(rng, np.full(hot.shape, 20.0), hot), **CAMERA, dark=dark))
    assert total.variance is not None
    pulls = (total.counts - 256 * 20.0)[hot_columns] / np.sqrt(total.variance[hot_columns])
    assert pulls.mean() == pytest.approx(0, abs=0.15)
    assert pulls.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("bin_rows", [1, 4])
def test_both_engines_give_the_same_numbers(camera, dark, bin_rows):
    rng = np.random.default_rng(4)
    raw = expose(rng, np.linspace(0, 300, 320) * np.ones((240, 1)), camera[0])
    raw[rng.integers(0, 240, 50), rng.integers(0, 320, 50)] += 5000
    results = [clean_frame(raw, **CAMERA, dark=dark, bin_rows=bin_rows, engine=e) for e in ("numba", "numpy")]
    assert len(results[0].cosmic_ray_px) >= 45
    for name in ("electrons", "variance", "saturated", "cosmic_ray_px", "rows"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


def test_without_any_cleaning_it_is_frame_to_electrons(camera):
    raw = expose(np.random.default_rng(5), np.full(camera[0].shape, 30.0))
    plain = frame_to_electrons(raw, **CAMERA, offset_adu=OFFSET)
    clean = clean_frame(raw, **CAMERA, offset_adu=OFFSET, cosmic_rays=False)
    np.testing.assert_allclose(clean.electrons, plain.electrons, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(clean.variance, plain.variance, rtol=1e-5, atol=1e-4)


def test_saturated_pixels_are_flagged_unless_a_hit_or_a_hot_pixel_saturated_them(camera, dark):
    raw = expose(np.random.default_rng(6), np.full(camera[0].shape, 30.0), camera[0])
    raw[60:70, 200] = 65535  # a saturated line
    raw[30, 40] = 65535  # a hit
    raw[100, 50] = 65535  # a hot pixel
    clean = clean_frame(raw, **CAMERA, dark=dark, bin_rows=2)
    assert clean.saturated.sum() == 5
    assert clean.saturated[30:35, 200].all()
    assert sum_rows(clean).saturated.nonzero()[0].tolist() == [200]


def test_variance_of_sums_of_dark_rows_is_right():
    """Shot noise clipped pixel by pixel would make it 30 % too large."""
    rng = np.random.default_rng(7)
    frame = frame_to_electrons(expose(rng, np.zeros((400, 3000)), 0.0), **CAMERA, offset_adu=OFFSET)
    single = frame_to_electrons(
        expose(rng, np.zeros((400, 3000)), 0.0), **CAMERA, offset_adu=OFFSET,
        dark_adu=expose(rng, np.zeros((400, 3000)), 0.0),
    )
    for electrons in (frame, single, bin_frame(single, rows=4)):
        total = sum_rows(electrons)
        assert total.variance is not None
        assert total.counts.var() / total.variance.mean() == pytest.approx(1.0, abs=0.1)


def test_rows_are_positions_at_the_sample():
    scale = RowScale(magnification=104.53, row0=1023.5, vbin=2, relative_error=0.11)
    assert scale.um_per_row == pytest.approx(2 * 0.062183, rel=1e-4)
    assert scale.position_um(1123.5) == pytest.approx(100 * 2 * 6.5 / 104.53)
    assert scale.position_err_um(1123.5) == pytest.approx(0.11 * 100 * 2 * 6.5 / 104.53)
    rows = np.array([0.0, 17.25, 2047.0])
    np.testing.assert_allclose(scale.row(scale.position_um(rows)), rows)
    flipped = RowScale(magnification=104.53, row0=1023.5, flipped=True)
    assert flipped.position_um(1033.5) == pytest.approx(-10 * 6.5 / 104.53)
    np.testing.assert_allclose(flipped.row(flipped.position_um(rows)), rows)


def test_binned_rows_keep_their_positions_and_spectra_their_counts():
    raw = np.full((64, 20), 100, np.uint16)
    raw[40:44, 5] = 300
    clean = clean_frame(raw, gain_e_per_adu=1.0, read_noise_e=1.0, offset_adu=100, bin_rows=4)
    scale = RowScale(magnification=100.0, row0=0.0)
    position = scale.position_um(clean.rows)
    np.testing.assert_allclose(position, scale.position_um(bin_axis(np.arange(64), 4)))
    at = float(scale.position_um(41.5))
    first, second = spectra_at(clean, position, [at, 0.5], 1)
    assert first.counts[5] == 800 and first.counts.sum() == 800 and first.rows == 3
    assert second.counts.sum() == 0
    assert line_total_spectrum(clean).counts[5] == 800
    assert line_total_spectrum(clean, slice(0, 4)).counts[5] == 800


@pytest.mark.slow
@pytest.mark.parametrize("exposure_s", [1.0, 60.0])
def test_frames_of_the_virtual_camera_lose_no_pixel_but_the_hot_ones(exposure_s):
    """Pixels that differ in response, read noise and dark signal (1 in 5000 hot) are neither hits nor noise."""
    from cryopl_bluesky.sim.sensor import GAIN_MODES, Sensor, Window

    mode, rate = GAIN_MODES["16-bit (low noise & high well capacity)"], "270 MHz"
    camera = {"gain_e_per_adu": mode.gain_e_per_adu, "read_noise_e": mode.read_noise_e[rate]}
    sensor, window = Sensor(np.random.default_rng(3), 1), Window(0, 0, 2048, 1024, 1)
    rows, columns = np.arange(2048)[:, None], np.arange(2048)
    light = 2 + 20000 * np.exp(-0.5 * ((columns - 300) / 0.7) ** 2 - 0.5 * ((rows - 500) / 300) ** 2)

    def take(scene):
        return sensor.expose((scene / exposure_s).astype(np.float32), window, exposure_s, mode, rate, 0.0, 2048)

    dark = dark_reference([take(0 * light) for _ in range(8)], **camera, offset_adu=OFFSET)
    assert 300 < dark.hot.sum() < 700  # 419 are put in
    clean = clean_frame(take(light), **camera, dark=dark)
    assert len(clean.cosmic_ray_px) < 1e-5 * light.size / 2
    scatter = clean.electrons[:, 600:] - light[:1024, 600:]
    assert scatter.mean() == pytest.approx(0, abs=0.05)
    assert scatter.var() / clean.variance[:, 600:].mean() == pytest.approx(1, abs=0.15)


def test_sum_of_frames_has_the_counts_and_variance_of_all():
    rng = np.random.default_rng(8)
    frames = [frame_to_electrons(expose(rng, np.full((60, 400), 2.0)), **CAMERA, offset_adu=OFFSET) for _ in range(10)]
    total = sum_frames(frames)
    np.testing.assert_allclose(total.electrons, sum(frame.electrons for frame in frames))
    assert total.electrons.var() / total.variance.mean() == pytest.approx(1.0, abs=0.05)
    with pytest.raises(AnalysisError, match="shape"):
        sum_frames([frames[0], bin_frame(frames[1], rows=2)])
    with pytest.raises(AnalysisError, match="at least one"):
        sum_frames([])


def test_binning_of_columns_sums_counts_and_flags():
    frame = Electrons(np.arange(24.0).reshape(4, 6), np.ones((4, 6)), np.eye(4, 6, dtype=bool))
    binned = bin_frame(frame, rows=2, columns=3)
    np.testing.assert_array_equal(binned.electrons, [[0 + 1 + 2 + 6 + 7 + 8, 3 + 4 + 5 + 9 + 10 + 11],
                                                     [12 + 13 + 14 + 18 + 19 + 20, 15 + 16 + 17 + 21 + 22 + 23]])
    np.testing.assert_array_equal(binned.variance, np.full((2, 2), 6.0))
    np.testing.assert_array_equal(binned.saturated, [[True, False], [True, True]])


RAW = np.full((16, 8), 100, np.uint16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clean_frame(RAW * 1.0, **CAMERA), "whole numbers"),
        (lambda: clean_frame(RAW.astype(int) - 200, **CAMERA), "whole numbers"),
        (lambda: clean_frame(RAW[0], **CAMERA), "one frame"),
        (lambda: clean_frame(RAW[:0], **CAMERA), "one frame"),
        (lambda: clean_frame(RAW, gain_e_per_adu=-1, read_noise_e=1), "gain_e_per_adu"),
        (lambda: clean_frame(RAW, gain_e_per_adu=1, read_noise_e=np.nan), "read_noise_e"),
        (lambda: clean_frame(RAW, **CAMERA, bin_rows=3), "divide the 16 rows"),
        (lambda: clean_frame(RAW[:4], **CAMERA), "needs 5 rows"),
        (lambda: clean_frame(RAW, **CAMERA, threshold_sigma=2), "threshold_sigma"),
        (lambda: clean_frame(RAW, **CAMERA, engine="cuda"), "engine"),
        (lambda: clean_frame(RAW, **CAMERA, dark=dark_reference(RAW[:8], **CAMERA)), "shape"),
        (
            lambda: clean_frame(RAW, gain_e_per_adu=1.0, read_noise_e=READ_E, dark=dark_reference(RAW, **CAMERA)),
            "in the dark reference",
        ),
        (lambda: dark_reference(np.full((2, 4, 4), np.nan), **CAMERA), "NaN"),
        (lambda: dark_reference(np.ones(4), **CAMERA), "must be dark frames"),
        (lambda: dark_reference(np.ones((0, 4, 4)), **CAMERA), "must be dark frames"),
        (lambda: RowScale(0.0, 0.0).position_um(1), "magnification"),
        (lambda: bin_axis(np.arange(5), 2), "divide an axis"),
        (lambda: bin_frame(frame_to_electrons(RAW, **CAMERA), rows=3), "does not divide"),
        (lambda: spectra_at(frame_to_electrons(RAW, **CAMERA), np.arange(3.0), [1.0], 1), "16 rows"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()
