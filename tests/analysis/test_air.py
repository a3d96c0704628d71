import numpy as np
import pytest

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.analysis.air import air_to_vacuum_nm, n_air, vacuum_axis_nm, vacuum_to_air_nm
from cryopl_bluesky.analysis.units import nm_to_eV


def test_index_and_shift_at_525_nm():
    assert n_air(525.0) == pytest.approx(1.000278, abs=5e-7)
    assert air_to_vacuum_nm(525.0) - 525.0 == pytest.approx(0.146, abs=5e-4)
    assert 1e3 * (nm_to_eV(525.0) - nm_to_eV(float(air_to_vacuum_nm(525.0)))) == pytest.approx(0.66, abs=5e-3)


@pytest.mark.parametrize(
    ("vacuum_nm", "air_nm"),
    [(546.2268, 546.0750), (435.9560, 435.8335), (632.9914, 632.8163)],  # Hg I, Hg I, He-Ne (NIST)
)
def test_known_lines(vacuum_nm, air_nm):
    assert vacuum_to_air_nm(vacuum_nm) == pytest.approx(air_nm, abs=3e-4)
    assert air_to_vacuum_nm(air_nm) == pytest.approx(vacuum_nm, abs=3e-4)


def test_there_and_back():
    wavelength = np.linspace(300, 1100, 50)
    np.testing.assert_allclose(vacuum_to_air_nm(air_to_vacuum_nm(wavelength)), wavelength, atol=1e-9)


def test_axis_is_converted_only_from_air():
    axis = np.array([520.0, 530.0])
    np.testing.assert_array_equal(vacuum_axis_nm(axis, "vacuum"), axis)
    np.testing.assert_array_equal(vacuum_axis_nm(axis, "air, not converted"), axis)
    np.testing.assert_array_equal(vacuum_axis_nm(axis, "air"), air_to_vacuum_nm(axis))


@pytest.mark.parametrize("wavelength", [np.nan, 0.525, 5250.0])
def test_refusals(wavelength):
    with pytest.raises(AnalysisError):
        n_air(wavelength)
