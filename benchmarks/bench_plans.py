"""How long the detectors idle while whole plans run in real time, through every layer down to the vendors' calls."""

from __future__ import annotations

import time

import pytest

from cryopl_bluesky import plans
from cryopl_bluesky.config import load_profile
from cryopl_bluesky.session import Session

EXPOSURE_S, FRAMES = 0.5, 20
DWELL_S, POINTS = 2.0, 10


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    profile = load_profile("sim")
    bench = profile.bench.model_copy(update={"speed": 1.0})
    with Session(profile.model_copy(update={"bench": bench}), tmp_path_factory.mktemp("data")) as opened:
        # Once before: kernels compile, the parts of the beam path stand where they should.
        opened.RE(plans.spectral_image(opened.instruments, exposure_s=EXPOSURE_S))
        opened.RE(plans.trpl_map(opened.instruments, start_nm=525, stop_nm=526, dwell_s=0.5))
        opened.feeder.wait_until_delivered(30)
        yield opened


def run_s(session, plan) -> float:
    """Seconds from the start document to the stop document of a plan's run."""
    times = {}
    token = session.RE.subscribe(lambda name, document: times.setdefault(name, time.perf_counter()))
    session.RE(plan)
    session.RE.unsubscribe(token)
    return times["stop"] - times["start"]


def bench_camera_in_spectral_images(benchmark, session):
    plan = plans.spectral_image(session.instruments, exposure_s=EXPOSURE_S, frames=FRAMES)
    total_s = benchmark.pedantic(run_s, (session, plan), rounds=1)
    exposed_s = FRAMES * session.instruments.camera.exposure_s.get()
    idle = 1 - exposed_s / total_s
    benchmark.extra_info["idle"] = idle
    print(f"\n camera idle {idle:.1%} of a run of {FRAMES} spectral images of {EXPOSURE_S} s ({total_s:.2f} s)")


def bench_spads_in_a_trpl_map(benchmark, session):
    spectrograph = session.instruments.spectrograph
    moved_s: list[float] = []
    move = spectrograph._apply_wavelength

    def timed(wavelength_nm: float) -> float:
        start_s = time.perf_counter()
        reached = move(wavelength_nm)
        moved_s.append(time.perf_counter() - start_s)
        return reached

    spectrograph._apply_wavelength = timed
    plan = plans.trpl_map(session.instruments, start_nm=521, stop_nm=521 + POINTS - 1, dwell_s=DWELL_S)
    total_s = benchmark.pedantic(run_s, (session, plan), rounds=1)
    spectrograph._apply_wavelength = move
    idle = 1 - (POINTS * DWELL_S + sum(moved_s[-POINTS:])) / total_s
    benchmark.extra_info["idle_beyond_moves"] = idle
    print(f"\n SPADs idle {idle:.1%} of a TRPL map of {POINTS} x {DWELL_S} s beyond the moves "
          f"({total_s:.2f} s, moves {sum(moved_s[-POINTS:]):.2f} s)")
