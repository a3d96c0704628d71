"""What cannot be is refused before anything moves, with the name, the value, the limit and the remedy."""

import copy

import pytest

from cryopl_bluesky import plans
from cryopl_bluesky.drivers.errors import LimitError


def _state(session):
    bench = session.lab.bench
    with bench.lock:
        return copy.deepcopy((bench.laser, bench.optics)), session.instruments.cryostat.locate()["setpoint"]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("spectral_image", {"entrance_slit_um": 5.0}, ["entrance_slit_um=5", "10 um", "choose 10 or more"]),
        ("spectral_image", {"centre_wavelength_nm": 5000.0}, ["centre_wavelength_nm=5000", "nm", "choose"]),
        ("spectral_image", {"centre_wavelength_nm": 405.0}, ["centre_wavelength_nm=405", "425", "long pass"]),
        ("spectral_image", {"lines_per_mm": 700.0}, ["lines_per_mm=700", "600", "choose one of"]),
        ("spectral_image", {"exposure_s": 1000.0}, ["exposure_s=1000", "maximum of 30", "choose 30 or less"]),
        ("spectral_image", {"exposure_s": -1.0}, ["exposure_s=-1", "greater than 0"]),
        ("spectral_image", {"expsure_s": 1.0}, ["expsure_s", "it takes exposure_s"]),
        ("spectral_image", {"frames": 0}, ["frames=0", "1"]),
        ("spectral_image", {"intensity_permille": 1500.0}, ["intensity_permille=1500", "1000"]),
        ("spectral_image", {"repetition_rate_Hz": 3.3333e6}, ["repetition", "3333", "nearest"]),
        ("decay", {"wavelength_nm": 5000.0}, ["5000"]),
        ("decay", {"binwidth_ps": 10**6}, ["binwidth_ps=1000000", "400000"]),
        ("trpl_map", {"start_nm": 530.0, "stop_nm": 520.0}, ["stop_nm=520", "start_nm=530"]),
        ("trpl_map", {"stop_nm": 5000.0}, ["5000"]),
        ("g2", {"wavelengths_nm": []}, ["wavelengths_nm"]),
        ("g2", {"exit_slit_um": 9000.0}, ["exit_slit_um=9000", "2500"]),
        ("temperature_series", {"temperatures_K": [8.0, 500.0], "steps": [{"plan": "dark"}]}, ["500", "320", "choose"]),
        ("temperature_series", {"temperatures_K": [8.0], "steps": [{"plan": "darkk"}]}, ["darkk", "dark"]),
        (
            "temperature_series",
            {"temperatures_K": [8.0], "steps": [{"plan": "dark"}, {"plan": "spectral_image", "entrance_slit_um": 5}]},
            ["entrance_slit_um=5", "10 um"],
        ),
    ],
)
def test_a_bad_argument_is_refused_before_anything_moves(session, name, arguments, words):
    before = _state(session)
    with pytest.raises(LimitError) as caught:
        session.RE(getattr(plans, name)(session.instruments, **arguments))
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert _state(session) == before


def test_quantities_refuse_by_themselves(session):
    with pytest.raises(LimitError, match="entrance_slit_um=5 is below the minimum of 10 um"):
        session.instruments.spectrograph.entrance_slit_um.set(5.0)
    with pytest.raises(LimitError, match="setpoint_K=400 is above the maximum of 320 K"):
        session.instruments.cryostat.set(400.0)
