"""The inner loops: one event after another, as plain messages.

A decorated plan stub formats a stack trace on every call, a third of the RunEngine's time per event
(performance.md, section 3), so these loops yield messages themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bluesky.utils import Msg, MsgGenerator, short_uid

COLLECT_EVERY_S = 1.0
"""Real seconds between two looks at what was written."""


def declare(collecting: Sequence[Any]) -> MsgGenerator[None]:
    """Announce the streams of what will be collected; after the run was opened."""
    for source in collecting:
        yield Msg("declare_stream", None, source, name=source.stream, collect=True)


def collect(collecting: Sequence[Any]) -> MsgGenerator[None]:
    """Link what was written since the last time."""
    for source in collecting:
        yield Msg("collect", source, name=source.stream, return_payload=False)


def events(number: int, detectors: Sequence[Any], readings: Sequence[Any] = ()) -> MsgGenerator[None]:
    """Take `number` events in the primary stream.

    Args:
        number: how many.
        detectors: devices that are triggered together and read.
        readings: signals that are only read.
    """
    for _ in range(number):
        yield from event(detectors, readings)


def event(
    detectors: Sequence[Any], readings: Sequence[Any] = (), collecting: Sequence[Any] = ()
) -> MsgGenerator[None]:
    """Trigger all detectors, wait for all, and record one event of the primary stream.

    Args:
        detectors: devices that are triggered together and read.
        readings: signals that are only read.
        collecting: what writes streams of its own meanwhile (declared with `declare`); linked about once a second,
            so that the journal knows what is on disk whatever happens next.
    """
    yield Msg("checkpoint")
    group = short_uid("expose")
    for detector in detectors:
        yield Msg("trigger", detector, group=group)
    if collecting:
        while not (yield Msg("wait", None, group=group, error_on_timeout=False, timeout=COLLECT_EVERY_S)):
            yield from collect(collecting)
        yield from collect(collecting)
    else:
        yield Msg("wait", None, group=group)
    yield Msg("create", None, name="primary")
    try:
        for device in (*detectors, *readings):
            yield Msg("read", device)
    except Exception:  # an event left open would hide, at the end of the run, why it could not be read
        yield Msg("drop")
        raise
    yield Msg("save")


def wavelength_scan(
    spectrograph: Any, wavelengths_nm: Sequence[float], detectors: Sequence[Any], readings: Sequence[Any] = (),
    collecting: Sequence[Any] = (),
) -> MsgGenerator[None]:
    """Take one event at each centre wavelength, in the order given."""
    for wavelength_nm in wavelengths_nm:
        group = short_uid("move")
        yield Msg("set", spectrograph.centre_wavelength_nm, wavelength_nm, group=group)
        yield Msg("wait", None, group=group)
        yield from event(detectors, readings, collecting)
