"""The SDK3 feature table of the virtual camera: kinds, access, limits, entries (facts/andor.md section 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cryopl_bluesky.sim.sensor import BASELINE_ADU, GAIN_MODES, PIXEL_UM, SENSOR_PX
from cryopl_bluesky.sim.zyla import BINNINGS, BYTES_PER_PIXEL, MAX_EXPOSURE_S, TIMESTAMP_FREQUENCY_HZ, Zyla

if TYPE_CHECKING:
    from cryopl_bluesky.sim.zyla_acquisition import Acquisition

_GAINS = ("11-bit (high well capacity)", "12-bit (high well capacity)", "11-bit (low noise)",
          "12-bit (low noise)", "16-bit (low noise & high well capacity)")
_EVENTS = ("ExposureEndEvent", "ExposureStartEvent", "RowNExposureEndEvent", "RowNExposureStartEvent",
           "EventsMissedEvent", "BufferOverflowEvent")
_TRIGGERS = ("Internal", "External Level Transition", "External Start", "External Exposure", "Software",
             "Advanced", "External")
_MAX_INT = 2_147_483_647


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        kind: "int", "float", "bool", "enum", "str" or "comm".
        read: returns the value (an enum's as text); None for commands.
        write: stores a value or runs the command; None when read-only.
        limits: returns smallest and largest value of a number.
        entries: entries of an enum, in the order of their indices.
        available: returns the entries that can be chosen now; None for all.
        live: can be written while acquiring.
    """

    kind: str
    read: Callable[[], Any] | None = None
    write: Callable[[Any], None] | None = None
    limits: Callable[[], tuple[float, float]] | None = None
    entries: tuple[str, ...] = ()
    available: Callable[[], tuple[str, ...]] | None = None
    live: bool = False


def build_features(camera: Zyla, acquisition: Acquisition) -> dict[str, Feature]:
    """All features of a camera by name.

    Args:
        camera: its state.
        acquisition: its acquisition, for the commands.

    Returns:
        The table.
    """
    table = {
        **_identity(camera), **_geometry(camera), **_timing(camera), **_modes(camera), **_cooling(camera),
        **_commands(camera, acquisition),
    }
    if camera.bench.fault("camera.aoi_binning_only") is not None:
        del table["AOIHBin"], table["AOIVBin"]
    return table


def _fixed(kind: str, value: Any) -> Feature:
    return Feature(kind, lambda: value, limits=(lambda: (value, value)) if kind in ("int", "float") else None)


def _stored(camera: Zyla, kind: str, name: str, *, entries: tuple[str, ...] = (),
            available: Callable[[], tuple[str, ...]] | None = None, low: float = 0, high: float = 0,
            limits: Callable[[], tuple[float, float]] | None = None) -> Feature:
    return Feature(kind, partial(camera.values.__getitem__, name), partial(camera.store, name),
                   limits or (lambda: (low, high)), entries, available)


def _identity(camera: Zyla) -> dict[str, Feature]:
    texts = {
        "CameraModel": camera.model, "CameraName": "Zyla", "CameraFamily": "Andor sCMOS",
        "SerialNumber": camera.serial, "FirmwareVersion": "15.9.3.0", "ControllerID": "", "DDR2Type": "",
        "InterfaceType": "USB3",
    }
    numbers = {"SensorWidth": SENSOR_PX, "SensorHeight": SENSOR_PX, "Baseline": BASELINE_ADU,
               "TimestampClockFrequency": TIMESTAMP_FREQUENCY_HZ, "BufferOverflowEvent": 0}
    reals = {"PixelWidth": PIXEL_UM, "PixelHeight": PIXEL_UM, "MaxInterfaceTransferRate": 40.0}
    return {
        **{name: _fixed("str", text) for name, text in texts.items()},
        **{name: _fixed("int", number) for name, number in numbers.items()},
        **{name: _fixed("float", real) for name, real in reals.items()},
        "CameraPresent": _fixed("bool", True), "FullAOIControl": _fixed("bool", True),
    }


def _geometry(camera: Zyla) -> dict[str, Feature]:
    windows = {name: _stored(camera, "int", name, limits=partial(camera.aoi_limits, name))
               for name in ("AOIWidth", "AOIHeight", "AOILeft", "AOITop")}
    return {
        **windows,
        "AOIHBin": _stored(camera, "int", "AOIHBin", low=1, high=SENSOR_PX),
        "AOIVBin": _stored(camera, "int", "AOIVBin", low=1, high=SENSOR_PX),
        "AOIBinning": Feature("enum", camera.binning_text, camera.store_binning, entries=BINNINGS),
        "AOILayout": _stored(camera, "enum", "AOILayout", entries=("Image", "Multitrack")),
        "AOIStride": Feature("int", lambda: camera.stride),
        "ImageSizeBytes": Feature("int", lambda: camera.image_size_bytes),
        "BytesPerPixel": Feature("float", lambda: BYTES_PER_PIXEL[camera.values["PixelEncoding"]]),
        "FastAOIFrameRateEnable": _stored(camera, "bool", "FastAOIFrameRateEnable"),
        "VerticallyCentreAOI": _stored(camera, "bool", "VerticallyCentreAOI"),
    }


def _timing(camera: Zyla) -> dict[str, Feature]:
    def set_exposure(value: float) -> None:
        camera.exposure_s = value

    def set_rate(value: float) -> None:
        camera.frame_rate_Hz = value

    return {
        "ExposureTime": Feature("float", lambda: camera.exposure_s, set_exposure, camera.exposure_limits_s,
                                live=True),
        "FrameRate": Feature("float", lambda: camera.frame_rate_Hz, set_rate,
                             lambda: (1 / (2 * MAX_EXPOSURE_S), 1 / camera.min_period_s), live=True),
        "RowReadTime": Feature("float", lambda: camera.row_time_s),
        "ReadoutTime": Feature("float", lambda: camera.readout_s),
        "LineScanSpeed": Feature("float", lambda: 1 / camera.row_time_s),
        "ExternalTriggerDelay": _stored(camera, "float", "ExternalTriggerDelay", high=1.0),
        "TriggerMode": _stored(camera, "enum", "TriggerMode", entries=_TRIGGERS, available=lambda: tuple(
            name for name in _TRIGGERS if name not in ("External Level Transition", "Advanced"))),
        "CycleMode": _stored(camera, "enum", "CycleMode", entries=("Fixed", "Continuous")),
        "FrameCount": _stored(camera, "int", "FrameCount", low=1, high=_MAX_INT),
        "AccumulateCount": _stored(camera, "int", "AccumulateCount", low=1, high=_MAX_INT),
        "Overlap": _stored(camera, "bool", "Overlap"),
        "TimestampClock": Feature("int", camera.ticks),
    }


def _modes(camera: Zyla) -> dict[str, Feature]:
    switches = ("SpuriousNoiseFilter", "StaticBlemishCorrection", "RollingShutterGlobalClear",
                "AlternatingReadoutDirection", "ScanSpeedControlEnable", "MetadataEnable")
    encodings = ("Mono12", "Mono12Packed", "Mono16", "RGB8Packed", "Mono12Coded", "Mono32")
    readouts = ("Bottom Up Sequential", "Bottom Up Simultaneous", "Centre Out Simultaneous",
                "Outside In Simultaneous", "Top Down Sequential", "Top Down Simultaneous")
    depths = ("12 Bit", "16 Bit")
    return {
        **{name: _stored(camera, "bool", name) for name in switches},
        "MetadataTimestamp": Feature("bool", lambda: camera.values["MetadataTimestamp"]),
        "MetadataFrame": Feature("bool", lambda: camera.values["MetadataFrame"]),
        "PixelEncoding": _stored(camera, "enum", "PixelEncoding", entries=encodings,
                                 available=lambda: camera.mode.encodings),
        "SimplePreAmpGainControl": _stored(camera, "enum", "SimplePreAmpGainControl", entries=_GAINS,
                                           available=lambda: tuple(GAIN_MODES)),
        "PixelReadoutRate": _stored(camera, "enum", "PixelReadoutRate", entries=("100 MHz", "270 MHz")),
        "BitDepth": Feature("enum", lambda: f"{camera.mode.bits} Bit", entries=depths),
        "ElectronicShutteringMode": _stored(camera, "enum", "ElectronicShutteringMode",
                                            entries=("Rolling", "Global"), available=lambda: ("Rolling",)),
        "SensorReadoutMode": _stored(camera, "enum", "SensorReadoutMode", entries=readouts),
    }


def _cooling(camera: Zyla) -> dict[str, Feature]:
    statuses = ("Cooler Off", "Stabilised", "Cooling", "Drift", "Not Stabilised", "Fault")
    return {
        "SensorCooling": _stored(camera, "bool", "SensorCooling"),
        "SensorTemperature": Feature("float", camera.reported_temperature_C, limits=lambda: (-50.0, 60.0)),
        "TargetSensorTemperature": Feature("float", lambda: float(camera.values["TemperatureControl"]),
                                           limits=lambda: (-15.0, 20.0)),
        "TemperatureControl": _stored(camera, "enum", "TemperatureControl", entries=("0.00", "5.00")),
        "TemperatureStatus": Feature("enum", camera.temperature_status, entries=statuses),
        "FanSpeed": _stored(camera, "enum", "FanSpeed", entries=("Off", "On")),
    }


def _commands(camera: Zyla, acquisition: Acquisition) -> dict[str, Feature]:
    def selected() -> str:
        return camera.values["EventSelector"]

    def enable(value: bool) -> None:
        (camera.enabled_events.add if value else camera.enabled_events.discard)(selected())

    return {
        "AcquisitionStart": Feature("comm", write=lambda _: acquisition.start()),
        "AcquisitionStop": Feature("comm", write=lambda _: acquisition.stop(), live=True),
        "SoftwareTrigger": Feature("comm", write=lambda _: acquisition.trigger(), live=True),
        "TimestampClockReset": Feature("comm", write=lambda _: camera.reset_ticks(), live=True),
        "CameraAcquiring": Feature("bool", lambda: camera.acquiring),
        "EventSelector": Feature("enum", selected, partial(camera.store, "EventSelector"), entries=_EVENTS),
        "EventEnable": Feature("bool", lambda: selected() in camera.enabled_events, enable),
    }
