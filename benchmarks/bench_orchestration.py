"""What the RunEngine and our devices cost per event, and how long the camera idles between exposures."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import preprocessors as bpp
from bluesky.utils import Msg
from ophyd import Component as Cpt
from stand_ins import CameraDriver, SpectrographDriver

from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.devices.base import Instrument, Quantity
from cryopl_bluesky.devices.camera import Camera
from cryopl_bluesky.devices.spectrograph import Spectrograph
from cryopl_bluesky.session.validation import validate_first_events_only

EVENTS = 1000


class Detector(Instrument):
    """As many numbers as the camera has, and nothing to wait for."""

    a = Cpt(Quantity, kind="hinted")
    b = Cpt(Quantity, kind="normal")
    c = Cpt(Quantity, dtype=int, kind="normal")
    d = Cpt(Quantity, kind="normal")

    def trigger(self) -> Any:
        return self.submit(lambda: None, 5.0, "expose")


def flat(events: int, detector: Any, readings: list[Any], moved: Any = None) -> Any:
    for i in range(events):
        if moved is not None:
            yield Msg("set", moved, 500.0 + i % 2, group=f"move{i}")
            yield Msg("wait", None, group=f"move{i}")
        yield Msg("checkpoint")
        yield Msg("trigger", detector, group=f"expose{i}")
        yield Msg("wait", None, group=f"expose{i}")
        yield Msg("create", None, name="primary")
        for device in (detector, *readings):
            yield Msg("read", device)
        yield Msg("save")


def cpu_ms(function: Callable[[], Any], events: int) -> float:
    start_s = time.process_time()
    function()
    return (time.process_time() - start_s) / events * 1e3


@pytest.fixture(autouse=True)
def as_in_a_session():
    validate_first_events_only()


def run_ms(make_plan: Callable[[int], Any], staged: list[Any], events: int = EVENTS) -> float:
    """CPU per event of a long run; a short one first pays for the descriptor and imports."""
    RE = RunEngine({}, context_managers=[])
    for number in (50, events):
        plan = bpp.stage_wrapper(bpp.run_wrapper(make_plan(number)), staged)
        spent_ms = cpu_ms(lambda plan=plan: RE(plan), number)
    return spent_ms


def bench_event_of_a_trivial_detector(benchmark):
    detector = Detector(name="detector")
    per_event_ms = benchmark.pedantic(run_ms, (lambda n: flat(n, detector, []), []), rounds=1)
    benchmark.extra_info["cpu_ms_per_event"] = per_event_ms
    print(f"\n trivial detector, trigger and read: {per_event_ms:.2f} ms CPU per event")


@pytest.mark.parametrize("moving", [False, True], ids=["spectra", "wavelength_scan"])
def bench_event_of_camera_and_spectrograph(benchmark, tmp_path, moving):
    """The RunEngine's share: a run, less the same calls made on the devices directly."""
    clock = SystemClock()
    driver = CameraDriver(clock, size=(8, 8))
    driver._exposure_s = 0.0
    camera = Camera(driver, name="camera", clock=clock, data_dir=tmp_path)
    spectrograph = Spectrograph(SpectrographDriver(), name="spectrograph", clock=clock)  # type: ignore[arg-type]
    camera.refresh()
    spectrograph.refresh()
    readings = [spectrograph, spectrograph.wavelength_axis]
    moved = spectrograph.centre_wavelength_nm if moving else None

    def alone(events: int = EVENTS) -> float:
        camera.stage()

        def calls() -> None:
            for i in range(events):
                if moving:
                    spectrograph.call(lambda i=i: spectrograph._apply_wavelength(500.0 + i % 2), 5)
                camera.call(camera._expose, 5)

        spent_ms = cpu_ms(calls, events)
        camera.unstage()
        return spent_ms

    alone(50)
    own_ms = alone()
    total_ms = benchmark.pedantic(run_ms, (lambda n: flat(n, camera, readings, moved), [camera]), rounds=1)
    own_ms = min(own_ms, alone())
    benchmark.extra_info.update(cpu_ms_per_event=total_ms, devices_own_ms=own_ms, beyond_ms=total_ms - own_ms)
    print(f"\n camera + spectrograph{' + move' if moving else ''}: {total_ms:.2f} ms CPU per event, "
          f"{own_ms:.2f} ms the devices' own work, {total_ms - own_ms:.2f} ms beyond it")
    camera.shutdown()


def bench_camera_idle_between_exposures(benchmark, tmp_path):
    """20 exposures of 0.5 s in real time, through pylablib and the virtual vendor library."""
    from cryopl_bluesky.bench_settings import BenchSettings
    from cryopl_bluesky.drivers.camera import AndorCamera
    from cryopl_bluesky.sim.lab import VirtualLab

    lab = VirtualLab(BenchSettings(speed=1.0))
    lab.install()
    driver = AndorCamera(lab.clock)
    driver.open()
    camera = Camera(driver, name="camera", clock=lab.clock, data_dir=tmp_path)
    camera.refresh()
    camera.exposure_s.set(0.5).wait(10)
    RE = RunEngine({}, context_managers=[])
    fired_s: list[float] = []
    fire = driver.fire
    driver.fire = lambda: (fired_s.append(time.perf_counter()), fire())[1]

    def series() -> float:
        camera.frames_expected.set(20).wait(10)
        fired_s.clear()
        RE(bpp.stage_wrapper(bpp.run_wrapper(flat(20, camera, [])), [camera]))
        return time.perf_counter()

    camera.frames_expected.set(2).wait(10)
    RE(bpp.stage_wrapper(bpp.run_wrapper(flat(2, camera, [])), [camera]))  # the renderer compiles
    end_s = benchmark.pedantic(series, rounds=1)
    run_s = end_s - fired_s[0]
    idle = 1 - 20 * camera.exposure_s.get() / run_s
    benchmark.extra_info.update(idle=idle, mean_period_s=float(np.diff(fired_s).mean()))
    print(f"\n camera idle {idle:.1%} of {run_s:.2f} s from the first trigger to the closed file; "
          f"between triggers {np.diff(fired_s).mean() * 1e3:.1f} ms")
    camera.shutdown()
    lab.uninstall()
    assert idle < 0.05
