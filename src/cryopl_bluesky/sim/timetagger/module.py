"""The module object that stands where `Swabian.TimeTagger` would be imported."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cryopl_bluesky.sim.timetagger import correlations, enums, file_writer, iterators, measurements, tagger
from cryopl_bluesky.sim.timetagger.parameters import HbtParameters
from cryopl_bluesky.sim.timetagger.source import LightLike
from cryopl_bluesky.sim.timetagger.stream import TagStream

if TYPE_CHECKING:
    from cryopl_bluesky.sim.bench import Bench

_NAMES = {
    enums: (
        "CHANNEL_UNUSED",
        "LOGGER_INFO",
        "LOGGER_WARNING",
        "LOGGER_ERROR",
        "TagType",
        "Resolution",
        "ChannelEdge",
        "UsageStatisticsStatus",
    ),
    tagger: ("TimeTaggerSource", "TimeTaggerBase", "TimeTaggerHardware", "TimeTagger"),
    iterators: ("IteratorBase", "SynchronizedMeasurements", "DelayedChannel", "Combiner"),
    measurements: ("Counter", "CounterData", "Countrate", "TimeTagStream", "TimeTagStreamBuffer"),
    file_writer: ("FileWriter",),
    correlations: ("Histogram", "Correlation", "HistogramLogBins", "HistogramLogBinsData", "StartStop"),
}
_IN_USE = (
    "No Time Tagger attached or already in use. Got the USB error 'Failed' in 'OpenBySerial' in line 187."
)


class _Functions:
    """The module's functions, with the one device that is attached."""

    def __init__(self, bench: Bench, light: Callable[[], LightLike], parameters: HbtParameters):
        self._bench, self._light, self._parameters = bench, light, parameters
        self._stream: TagStream | None = None
        self._open: tagger.TimeTagger | None = None
        self._usage = enums.UsageStatisticsStatus.Disabled
        self._logger: Callable[[int, str], None] | None = None

    def createTimeTagger(
        self, serial: str = "", resolution: enums.Resolution = enums.Resolution.Standard
    ) -> tagger.TimeTagger:
        """Open the device; only one at a time."""
        if not isinstance(serial, str):
            raise TypeError("in method 'createTimeTagger', argument 1 of type 'std::string'")
        enums.Resolution(resolution)
        if serial not in ("", self._parameters.serial):
            raise RuntimeError(
                f"The serial number argument '{serial}' is not a valid Time Tagger serial number."
            )
        if self._open is not None or self._bench.fault("hbt.missing") is not None:
            raise RuntimeError(_IN_USE)
        if self._stream is None:
            self._stream = TagStream(self._bench, self._light, self._parameters)
        self._open = tagger.open_tagger(self._stream)
        self._open.reset()
        return self._open

    def freeTimeTagger(self, tagger: tagger.TimeTaggerBase) -> None:
        """Close the device; its measurements stop."""
        if tagger is None or not hasattr(tagger, "_stream"):
            raise TypeError("in method 'freeTimeTagger', argument 1 of type 'TimeTaggerBase *'")
        tagger._stream.end()
        self._open = None

    def scanTimeTagger(self, include_model_name: bool = False) -> tuple[str, ...]:
        """Serial numbers of the devices that could be opened."""
        if self._open is not None or self._bench.fault("hbt.missing") is not None:
            return ()
        serial = self._parameters.serial
        return (f"{serial} ({tagger.MODEL})" if include_model_name else serial,)

    def setLogger(self, callback: Callable[[int, str], None] | None) -> None:
        """Have log lines sent to `callback(level, message)`."""
        self._logger = callback

    def setUsageStatisticsStatus(
        self, new_status: enums.UsageStatisticsStatus, persistent_config: bool = True
    ) -> None:
        """Whether usage is reported to the vendor."""
        self._usage = enums.UsageStatisticsStatus(new_status)

    def getUsageStatisticsStatus(self) -> enums.UsageStatisticsStatus:
        """Whether usage is reported to the vendor."""
        return self._usage

    def getVersion(self) -> str:
        """Version of the software."""
        return "2.22.6"


def make_module(
    bench: Bench, light: Callable[[], LightLike] | None = None, parameters: HbtParameters | None = None
) -> Any:
    """The virtual tagger's module, with names, signatures, units and array types of the vendor's.

    Faults of the bench that it knows: `hbt.missing` (no device), `hbt.no_sync` (the sync cable is off),
    `hbt.overflow` (once per second of a measurement the tags of that many seconds are lost), `hbt.freeze` (the device
    sends nothing more), `hbt.stuck_zero` (neither SPAD gives a pulse any more), `hbt.dead_spad` (SPAD 1 or 2 gives
    none), `hbt.dark_Hz` (dark counts per SPAD), `hbt.fold_over` (photons in the dead time prolong it: too much light
    gives few counts). Those of the light are in `sim/light.py`.

    Args:
        bench: the physical world.
        light: returns what reaches the interferometer now; default: `sim.light.spad_light` of the bench.
        parameters: splitter, SPADs, cables and inputs; default: those of `HbtParameters`.

    Returns:
        A module object.
    """
    if light is None:
        from cryopl_bluesky.sim.light import spad_light

        light = lambda: spad_light(bench)  # noqa: E731 - a closure over the bench, named by its parameter
    module = ModuleType("TimeTagger", "Virtual Time Tagger")
    functions = _Functions(bench, light, parameters or HbtParameters())
    for source, names in _NAMES.items():
        for name in names:
            setattr(module, name, getattr(source, name))
    for name in vars(_Functions):
        if not name.startswith("_"):
            setattr(module, name, getattr(functions, name))
    return module
