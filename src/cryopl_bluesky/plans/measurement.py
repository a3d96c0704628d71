"""What a measurement is: a description, checked before anything moves, and the one way to run it."""

from __future__ import annotations

import functools
import inspect
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, Protocol

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import Msg, MsgGenerator
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

import cryopl_bluesky
from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.drivers.errors import LimitError
from cryopl_bluesky.plans.beam_path import (
    BeamPath,
    Excitation,
    check_beam_path,
    darken,
    leave_safe,
    light_on,
    set_beam_path,
    verify_light,
)
from cryopl_bluesky.plans.exposures import collect, declare
from cryopl_bluesky.settings_file import describe_problems

P = ParamSpec("P")
Metadata = dict[str, Any]


@dataclass(frozen=True)
class Exposures:
    """What a measurement asks of its detectors, for estimates of time, dose and disk.

    Attributes:
        number: events.
        exposure_s: of each event; the upper limit where an acquisition may stop earlier.
        frames: each event stores a camera frame.
        tags: time tags are stored while the SPADs count.
        step_nm: the centre wavelength moves by this between events; 0 = it stays.
    """

    number: int
    exposure_s: float
    frames: bool = False
    tags: bool = False
    step_nm: float = 0.0


@dataclass(frozen=True)
class Reference:
    """What makes a measurement a calibration of others.

    Attributes:
        depends_on: conditions (see `conditions`) that a measurement must share for the calibration to be valid for it.
        ranges: conditions that may lie within closed ranges (lowest, highest).
        values: what is known beforehand, with its error and unit in the name, for example the diameter of a bead.
    """

    depends_on: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    values: Metadata = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """Everything a measurement will do, before it does it.

    Attributes:
        path: where the light goes.
        exposures: how much of it there is.
        events: makes the messages between opening and closing the run.
        detectors: what is staged for the run.
        excitation: laser settings; None = the laser stays locked.
        shutter_open: whether light reaches the detectors during the events; None = when there is an excitation.
        begin_permille: intensity with which the light comes on, if the events raise it to that of the excitation.
        calibrates: what the run is valid for, if it is a calibration.
        collecting: what writes streams of its own during the events.
        configure: quantities of detectors to set before staging, as (quantity, value).
        md: what only this measurement adds to the start document.
    """

    path: BeamPath
    exposures: Exposures
    events: Callable[[], MsgGenerator[None]]
    detectors: list[Any]
    excitation: Excitation | None
    collecting: list[Any] = field(default_factory=list)
    configure: list[tuple[Any, Any]] = field(default_factory=list)
    md: Metadata = field(default_factory=dict)
    shutter_open: bool | None = None
    begin_permille: float | None = None
    calibrates: Reference | None = None


@dataclass(frozen=True)
class Description:
    """A measurement that was checked against the instruments, not begun.

    Attributes:
        measurement: what it will do.
        arguments: the plan's arguments as they are recorded, defaults included.
    """

    measurement: Measurement
    arguments: Metadata


class MeasurementPlan(Protocol[P]):
    """A plan made by `measurement_plan`: called, it gives the messages.

    Attributes:
        arguments: model of the plan's JSON arguments.
    """

    arguments: type[BaseModel]

    def __call__(self, ins: Instruments, *args: P.args, **kwargs: P.kwargs) -> MsgGenerator[str]:
        """The plan's messages; raises LimitError before the first one."""
        ...

    def describe(self, ins: Instruments, *args: P.args, **kwargs: P.kwargs) -> Description:
        """Check the arguments against the instruments without moving anything; raises LimitError."""
        ...


def measurement_plan(
    describe: Callable[Concatenate[Instruments, P], Measurement],
) -> MeasurementPlan[P]:
    """Turn the description of a measurement into a plan.

    Calling the plan validates the arguments and the whole beam path at once: a bad value raises there, before
    the first message, and so before anything moves. The plan returns the uid of its run.

    Args:
        describe: takes the instruments and plain JSON arguments, `md` last; returns the Measurement.
    """
    name = describe.__name__
    arguments = _arguments_model(describe)
    signature = inspect.signature(describe)

    def described(ins: Instruments, *args: P.args, **kwargs: P.kwargs) -> Description:
        try:
            bound = signature.bind(ins, *args, **kwargs).arguments
            bound.pop(next(iter(bound)))
            bound.pop("md", None)
            validated = arguments.model_validate(bound)
        except TypeError as error:
            raise LimitError(name, str(error), f"it takes {', '.join(arguments.model_fields)}") from error
        except ValidationError as error:
            raise LimitError(name, describe_problems(error, arguments)) from error
        measurement = describe(ins, **dict(validated))  # pyright: ignore[reportCallIssue]
        _check(ins, measurement)
        return Description(measurement, validated.model_dump(exclude_none=True))

    @functools.wraps(describe)
    def plan(ins: Instruments, *args: P.args, **kwargs: P.kwargs) -> MsgGenerator[str]:
        found = described(ins, *args, **kwargs)
        md: Metadata = signature.bind(ins, *args, **kwargs).arguments.get("md") or {}
        return _run(ins, name, found.measurement, found.arguments, md)

    plan.describe = described  # pyright: ignore[reportAttributeAccessIssue]
    plan.arguments = arguments  # pyright: ignore[reportAttributeAccessIssue]
    plan.__annotations__ = {**describe.__annotations__, "return": MsgGenerator[str]}
    # What help shows: a plan, not the description that it is made from.
    plan.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
        return_annotation=MsgGenerator[str]
    )
    return plan  # pyright: ignore[reportReturnType]


def _arguments_model(describe: Callable[..., Measurement]) -> type[BaseModel]:
    """A model of the plan's JSON arguments (all but the instruments and `md`)."""
    parameters = list(inspect.signature(describe, eval_str=True).parameters.values())[1:]
    fields: dict[str, Any] = {
        p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in parameters if p.name != "md"
    }
    return create_model(describe.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def _check(ins: Instruments, measurement: Measurement) -> None:
    check_beam_path(ins, measurement.path)
    for quantity, value in measurement.configure:
        quantity.check_value(value)
    if measurement.excitation is not None:
        ins.laser.check_repetition_rate(measurement.excitation.repetition_rate_Hz)
        ins.laser.intensity_permille.check_value(measurement.excitation.intensity_permille)


def _run(
    ins: Instruments, name: str, measurement: Measurement, arguments: Metadata, md: Metadata
) -> MsgGenerator[str]:
    def body() -> MsgGenerator[str]:
        yield from set_beam_path(ins, measurement.path)
        for quantity, value in measurement.configure:
            if quantity.get() != value:
                yield from bps.abs_set(quantity, value, wait=True)
        start = {**start_document(ins, name, measurement, arguments), **measurement.md, **md}
        # Dark before unstaging: closing files and giving up an exposure take time in which the sample needs no light.
        lit = bpp.finalize_wrapper(exposing(start), lambda: darken(ins))
        return (yield from bpp.stage_wrapper(lit, measurement.detectors))

    def exposing(start: Metadata) -> MsgGenerator[str]:
        # The laser takes a second to come up safely; a run lasts as long as its exposures.
        if measurement.excitation is not None:
            begin = measurement.begin_permille
            excitation = measurement.excitation
            first = excitation if begin is None else replace(excitation, intensity_permille=begin)
            yield from light_on(ins, first, measurement.shutter_open is not False)
        elif measurement.shutter_open:
            yield from bps.mv(ins.spectrograph.shutter, "open")
        return (yield from bpp.run_wrapper(recorded(), md=start))

    def recorded() -> MsgGenerator[None]:
        yield from bpp.contingency_wrapper(exposures(), except_plan=lambda error: record_trip(ins))

    def exposures() -> MsgGenerator[None]:
        yield from declare(measurement.collecting)
        # What was written before a failure is linked as well.
        yield from bpp.finalize_wrapper(measurement.events(), lambda: collect(measurement.collecting))
        if measurement.excitation is not None:
            yield from verify_light(ins)

    return (yield from bpp.finalize_wrapper(body(), lambda: leave_safe(ins)))


def record_trip(ins: Instruments) -> MsgGenerator[None]:
    """Record why the guard of the SPADs closed the light path, if it did: one event of the stream `spad_guard`."""
    if ins.hbt.guard.state.get() == "tripped":
        yield Msg("create", None, name="spad_guard")
        yield Msg("read", ins.hbt.guard)
        yield Msg("save")


def start_document(ins: Instruments, name: str, measurement: Measurement, arguments: Metadata) -> Metadata:
    """The start-document keys that every measurement shares (DESIGN.md, "Units and names").

    Returns:
        JSON-able metadata.
    """
    path = measurement.path
    optics = {
        "l1": path.l1, "l5": path.l5, "port": path.port, "lines_per_mm": path.lines_per_mm,
        "centre_wavelength_nm": path.centre_wavelength_nm if path.dispersed else None,
        "entrance_slit_um": path.entrance_slit_um, "exit_slit_um": path.exit_slit_um,
        **ins.microscope.optics_record(),
    }
    excitation = measurement.excitation
    found = conditions(ins, measurement)
    return {
        "plan_name": name,
        "measurement": name,
        "plan_args": arguments,
        "temperature_K": float(ins.cryostat.locate()["setpoint"]),
        "settle": ins.cryostat.settle_record(),
        "optics": optics,
        "excitation": None if excitation is None else {
            "repetition_rate_Hz": excitation.repetition_rate_Hz,
            "intensity_permille": excitation.intensity_permille,
            "wavelength_nm": float(ins.laser.wavelength_nm.get()),
        },
        "operator_answers": [asdict(answer) for answer in ins.operator.answers],
        "conditions": found,
        **({} if measurement.calibrates is None else {"calibration_of": calibration_of(name, measurement, found)}),
        "calibration": {},  # filled by the session, which knows the catalog
        "versions": versions(),
    }


def conditions(ins: Instruments, measurement: Measurement) -> Metadata:
    """The settings that decide which calibrations are valid for a measurement; only those that matter to it.

    Returns:
        JSON values by name: `relay`, `l1`, `lines_per_mm` (with a grating), camera and SPAD settings (with that
        detector), `repetition_rate_Hz` and `intensity_permille` (with the laser).
    """
    path, excitation = measurement.path, measurement.excitation
    found: Metadata = {"relay": ins.microscope.relay.get(), "l1": path.l1}
    if path.dispersed:
        found["lines_per_mm"] = path.lines_per_mm
    if ins.camera in measurement.detectors:
        camera = ins.camera
        found |= {
            "camera_gain": camera.gain.get(), "camera_readout_rate": camera.readout_rate.get(),
            "camera_binning": camera.binning.get(), "exposure_s": camera.exposure_s.get(),
        }
    if ins.hbt in measurement.detectors:
        channels = ("spad1_channel", "spad2_channel", "sync_channel")
        found |= {name: getattr(ins.hbt, name).get() for name in channels}
    if excitation is not None:
        found |= {
            "repetition_rate_Hz": excitation.repetition_rate_Hz, "intensity_permille": excitation.intensity_permille,
        }
    return found


def calibration_of(name: str, measurement: Measurement, found: Metadata) -> Metadata:
    """The key of the start document by which the catalog knows a calibration.

    Args:
        name: of the plan, which is the kind of calibration.
        measurement: has a `calibrates`.
        found: the measurement's conditions.

    Returns:
        `kind`, `valid_for` (conditions, or [lowest, highest]) and `reference` (values known beforehand).
    """
    reference = measurement.calibrates
    assert reference is not None, "it is a calibration"
    valid_for = {key: found[key] for key in reference.depends_on if key in found}
    return {
        "kind": name,
        "valid_for": valid_for | {key: list(limits) for key, limits in reference.ranges.items()},
        "reference": dict(reference.values),
    }


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions of what takes the data."""
    import bluesky
    import ophyd

    return {
        "cryopl_bluesky": cryopl_bluesky.__version__, "bluesky": bluesky.__version__,
        "ophyd": ophyd.__version__, "python": platform.python_version(),
    }
