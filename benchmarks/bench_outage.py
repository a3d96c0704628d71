"""How much longer a night takes, in real time, whose catalog hangs for its middle half."""

from __future__ import annotations

from test_catalog_outage import Night, run_night

from cryopl_bluesky.config import load_profile
from cryopl_bluesky.session import Session

SPEED = 40.0
"""Slow enough that a night is waiting and not computing, as in the lab."""


def bench_outage_of_the_catalog(benchmark, tmp_path):
    profile = load_profile("sim")
    profile = profile.model_copy(update={"bench": profile.bench.model_copy(update={"speed": SPEED})})

    def nights() -> list[Night]:
        found = []
        for outage in (False, False, True):  # the first one compiles
            with Session(profile, tmp_path / str(len(found))) as session:
                found.append(run_night(session, outage))
        return found

    _, calm, disturbed = benchmark.pedantic(nights, rounds=1)
    longer = disturbed.real_s / calm.real_s - 1
    benchmark.extra_info.update(calm_s=calm.real_s, disturbed_s=disturbed.real_s, longer=longer)
    print(f"\n a night of {calm.real_s:.1f} s with the catalog hanging for half of it: {longer:+.2%}; "
          f"{disturbed.behind} documents behind, none missing")
    assert disturbed.contents == calm.contents
