"""Every plan, through the RunEngine, the drivers and the vendors' interfaces, into the catalog and back."""

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from cryopl_bluesky import plans
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run

from .conftest import Recorder, is_safe

SHORT = {
    "widefield_image": {"exposure_s": 0.1, "frames": 2},
    "spectral_image": {"exposure_s": 0.2, "frames": 2},
    "total_spectrum": {"exposure_s": 0.005},
    "decay": {"duration_s": 2.0},
    "trpl_map": {"start_nm": 524.0, "stop_nm": 530.0, "step_nm": 3.0, "dwell_s": 1.0},
    "g2": {"duration_s": 2.0, "wavelengths_nm": [525.0, 528.0]},
    "channel_delay": {"duration_s": 2.0},
    "dark": {"exposure_s": 0.1, "frames": 2},
}
EVENTS = {"widefield_image": 2, "spectral_image": 2, "total_spectrum": 1, "decay": 1, "trpl_map": 3, "g2": 2,
          "channel_delay": 1, "dark": 2}


def test_every_plan_is_tried_here():
    by_hand = {name for name in plans.__all__ if getattr(plans, name).__module__.endswith("calibrations")}
    assert set(SHORT) == set(plans.__all__) - {"temperature_series"} - by_hand  # those: test_calibrations.py


@pytest.mark.parametrize("name", list(SHORT))
def test_a_plan_gives_valid_documents_and_comes_back_from_the_catalog(session, recorder: Recorder, name):
    recorder.clear()
    (uid,) = session.RE(getattr(plans, name)(session.instruments, **SHORT[name], md={"sample": {"name": "T1"}}))

    for kind, document in recorder.documents:
        validator = schema_validators[DocumentNames[kind]]
        getattr(validator, "full", validator).validate(document)
    (start,) = recorder.of("start")
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "success"
    assert stop["num_events"]["primary"] == EVENTS[name]
    assert start["plan_name"] == start["measurement"] == name
    assert {"temperature_K", "optics", "conditions", "calibration", "versions", "plan_args", "sample"} <= set(start)
    assert is_safe(session)

    assert session.feeder.wait_until_delivered(30)
    run = load_measurement(find_run(session.cat, uid))
    descriptor = next(d for d in recorder.of("descriptor") if d["name"] == "primary")
    events = [e for e in recorder.of("event") if e["descriptor"] == descriptor["uid"]]
    assert len(events) == EVENTS[name]
    for key, spec in descriptor["data_keys"].items():
        if "external" in spec:
            continue
        sent = np.asarray([event["data"][key] for event in events])
        assert np.array_equal(run.data[key], sent), key
        if spec["dtype"] in ("number", "integer", "array"):
            assert run.data[key].dtype == np.dtype(spec["dtype_numpy"]), key
            assert np.all(np.isfinite(run.data[key])), key
    if "camera_image" in descriptor["data_keys"]:
        frames = run.frames["camera_image"]
        assert frames.shape == (EVENTS[name], 2048, 2048)
        assert frames.dtype == np.uint16
        assert float(np.asarray(frames[0]).mean()) == pytest.approx(run.data["camera_mean_adu"][0], rel=1e-6)


def test_the_temperature_during_the_exposure_travels_with_each_event(session, recorder: Recorder):
    recorder.clear()
    session.RE(plans.spectral_image(session.instruments, exposure_s=5.0))
    (event,) = [e for e in recorder.of("event") if "camera_mean_adu" in e["data"]]
    data = event["data"]
    assert data["cryostat_temperature_samples"] >= 3
    assert 0 < data["cryostat_temperature_K"] < 20
    assert data["cryostat_temperature_std_K"] < 0.1


def test_with_the_laser_off_the_image_is_dark_and_the_spads_count_darks(session):
    (uid,) = session.RE(plans.dark(session.instruments, exposure_s=1.0, frames=3))
    (lit_uid,) = session.RE(plans.widefield_image(session.instruments, exposure_s=0.1))
    assert session.feeder.wait_until_delivered(30)
    run = load_measurement(find_run(session.cat, uid))
    lit = load_measurement(find_run(session.cat, lit_uid))
    baseline = run.config["camera_baseline_adu"]
    assert abs(np.median(np.asarray(run.frames["camera_image"][0])) - baseline) <= 1
    assert np.percentile(np.asarray(lit.frames["camera_image"][0]), 99) > baseline + 200
    dark_Hz = session.lab.bench.hbt_parameters.dark_Hz if hasattr(session.lab.bench, "hbt_parameters") else 30.0
    for spad in ("spad1", "spad2"):
        counts = run.data[f"hbt_{spad}_counts"].sum()
        expected = dark_Hz * run.data["hbt_capture_duration_s"].sum()
        assert abs(counts - expected) < 5 * np.sqrt(expected) + 0.05 * expected
