"""A bench with its virtual Sepia II, a log of the calls that reach it, and a laser driver on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryopl_bluesky.drivers.sepia2 import Sepia2Laser
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.clock import BenchClock
from cryopl_bluesky.sim.sample import Sample
from cryopl_bluesky.sim.sepia2 import Sepia2Library
from cryopl_bluesky.sim.thermal import ThermalModel

POWER_TABLE = [(2.5e6, 400, 1.0), (2.5e6, 600, 16.0), (40e6, 600, 260.0)]


def make_bench() -> Bench:
    return Bench(BenchClock(speed=1000.0), Sample.named("superlattice"), ThermalModel(5.6))


class CallLog:
    """Passes every call on to a library and keeps name and plain values of its inputs."""

    def __init__(self, library: Any):
        self._library = library
        self.calls: list[tuple] = []
        self.before: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)

        def call(*arguments: Any) -> int:
            short = name.removeprefix("SEPIA2_")
            self.calls.append((short, *(argument.value for argument in arguments if isinstance(
                getattr(argument, "value", None), int))))
            self.before.pop(short, lambda: None)()
            return function(*arguments)

        return call

    def sets(self) -> list[tuple]:
        """Calls that change something, without device index and slot."""
        return [(call[0], *call[3:]) for call in self.calls if "_Set" in call[0]]


@contextmanager
def laser_on_bench(**options: Any) -> Iterator[tuple[Sepia2Laser, Bench, CallLog]]:
    bench = make_bench()
    log = CallLog(Sepia2Library(bench))
    laser = Sepia2Laser(log, bench.clock, power_table=POWER_TABLE, **options)
    laser.open()
    try:
        yield laser, bench, log
    finally:
        bench.faults.clear()
        laser.close()
