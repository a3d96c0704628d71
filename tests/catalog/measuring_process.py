"""A process that measures: `measuring_process.py DATA_DIR POINTS PERIOD_S [--die]`.

Its first line is the run's uid.

With `--die` it ends in the middle of the run without any clean-up, as if the power of the process were cut.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from catalog_rig import Rig


def main() -> None:
    rig = Rig(Path(sys.argv[1]))
    points, period_s, die = int(sys.argv[2]), float(sys.argv[3]), "--die" in sys.argv
    detectors = [rig.camera, rig.tagger]

    @bpp.stage_decorator([rig.camera])
    @bpp.run_decorator(md={"measurement": "spectral_image", "sample": {"name": "A3"}})
    def plan():
        print(next(iter(rig.journal.open_runs)), flush=True)
        for index in range(points):
            yield from bps.trigger_and_read(detectors)
            print("event", index, time.time(), flush=True)
            if die and index == points - 2:
                os.kill(os.getpid(), 9) if os.name == "posix" else os._exit(9)
            yield from bps.sleep(period_s)

    rig.RE(plan())
    print("done", flush=True)
    sys.stdin.readline()
    rig.close()


if __name__ == "__main__":
    main()
