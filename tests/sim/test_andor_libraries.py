"""The virtual Andor libraries: what pylablib binds, and the optical model behind the wavelength axis."""

import inspect

import numpy as np
import pytest

from cryopl_bluesky.sim import atcore, shamrock
from cryopl_bluesky.sim.kymera_optics import KymeraOptics

SIGNATURES = {
    "AndorSDK3Camera": {
        "__init__": "(self, idx=0)",
        "get_attribute": "(self, name, update_properties=False, error_on_missing=True)",
        "get_attribute_value":
            "(self, name, enum_as_str=True, update_properties=False, error_on_missing=True, default=None)",
        "set_roi": "(self, hstart=0, hend=None, vstart=0, vend=None, hbin=1, vbin=1)",
        "enable_metadata": "(self, enable=True)",
        "set_cooler": "(self, on=True)",
        "setup_acquisition": "(self, mode='sequence', nframes=100)",
        "wait_for_frame": "(self, since='lastread', nframes=1, timeout=20.0, error_on_stopped=False)",
        "read_oldest_image": "(self, peek=False, return_info=False)",
        "call_command": "(self, name)",
        "set_exposure": "(self, exposure)",
        "set_frame_period": "(self, frame_period)",
    },
    "ShamrockSpectrograph": {
        "__init__": "(self, idx=0)",
        "set_grating": "(self, grating, force=False)",
        "get_grating_info": "(self, grating=None)",
        "set_wavelength": "(self, wavelength)",
        "get_wavelength_limits": "(self, grating=None)",
        "get_slit_width": "(self, slit)",
        "set_slit_width": "(self, slit, width)",
        "set_flipper_port": "(self, flipper, port)",
        "set_shutter": "(self, mode)",
        "set_pixel_width": "(self, width)",
        "set_number_pixels": "(self, number)",
        "get_calibration": "(self)",
    },
}


@pytest.mark.parametrize("class_name", SIGNATURES)
def test_pylablib_has_the_signatures_we_rely_on(class_name):
    from pylablib.devices import Andor

    cls = getattr(Andor, class_name)
    found = {name: str(inspect.signature(getattr(cls, name))) for name in SIGNATURES[class_name]}
    assert found == SIGNATURES[class_name]


def test_the_libraries_export_what_pylablib_binds():
    from pylablib.devices.Andor import ShamrockCIF_lib, atcore_lib

    for module, prototypes, count in ((atcore_lib, atcore.PROTOTYPES, 34),
                                      (ShamrockCIF_lib, shamrock.PROTOTYPES, 63)):
        bound = set()
        for line in inspect.getsource(module).splitlines():
            if "wrapper(lib." in line and not line.strip().startswith("#"):
                bound.add(line.split("wrapper(lib.")[1].split(",")[0].split(")")[0])
        assert bound == set(prototypes)
        assert len(prototypes) == count


def test_the_loader_is_where_we_replace_it():
    from pylablib.devices.Andor import ShamrockCIF_lib, atcore_lib
    from pylablib.devices.utils import load_lib

    assert callable(load_lib.load_lib)
    for library in (atcore_lib.AndorSDK3Lib, ShamrockCIF_lib.ShamrockLib):
        assert "load_lib.load_lib(" in inspect.getsource(library.initlib)


def test_golden_vector_of_a_real_kymera():
    """Calibration stored in a real KY328i file; facts/andor.md section 9.1."""
    i = np.arange(1, 1025)
    stored_nm = (529.93812442523 + 0.061715845778342 * i - 2.28349748230931e-7 * i**2
                 - 5.07163560661353e-11 * i**3)
    model_nm = KymeraOptics().axis_nm(599.566, 561.47, pixels=1024, pixel_um=13.0)
    np.testing.assert_allclose(model_nm, stored_nm, atol=7e-5)


@pytest.mark.parametrize("lines_per_mm, pm_per_px",
                         [(150, 128.1), (300, 63.4), (600, 30.9), (1200, 14.4), (1800, 8.6)])
def test_dispersion_of_the_gratings(lines_per_mm, pm_per_px):
    optics = KymeraOptics()
    axis_nm = optics.axis_nm(lines_per_mm, 500.0)
    assert axis_nm[1023] == pytest.approx(500.0, abs=1e-9)  # pixel N/2, counted from 1
    assert np.gradient(axis_nm)[1023] * 1e3 == pytest.approx(pm_per_px, abs=0.1)
    assert optics.nm_per_um(lines_per_mm, 500.0) * 6.5e3 == pytest.approx(pm_per_px, abs=0.1)
