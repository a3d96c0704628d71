"""What a driver raises: an error that names the instrument, what happened and what to do about it."""

from __future__ import annotations


class InstrumentError(RuntimeError):
    """An instrument refused, failed or did not answer.

    Args:
        instrument: device name as in the profile, for example `spectrograph`.
        problem: what happened, with the value and the limit where there is one.
        remedy: what the user can do; empty when there is nothing to add.
        code: the vendor's error number, if it gave one.
    """

    def __init__(self, instrument: str, problem: str, remedy: str = "", *, code: int | None = None):
        self.instrument = instrument
        self.problem = problem
        self.remedy = remedy
        self.code = code
        super().__init__(f"{instrument}: {problem}" + (f" ({remedy})" if remedy else ""))


class NotConnectedError(InstrumentError):
    """The instrument cannot be opened: missing library, no device, or another program holds it."""


class InstrumentTimeoutError(InstrumentError):
    """The instrument did not answer or finish within its time limit."""


class LimitError(InstrumentError, ValueError):
    """A requested value lies outside what the instrument accepts; nothing was sent to it."""


def check_limits(
    instrument: str, quantity: str, value: float, low: float | None, high: float | None, unit: str = ""
) -> None:
    """Refuse `value` outside `low`..`high` before anything moves.

    Args:
        instrument: device name, for the message.
        quantity: parameter name with its unit, for example `slit_um`.
        value: requested value.
        low: smallest accepted value, None for no limit.
        high: largest accepted value, None for no limit.
        unit: unit printed behind the limit.

    Raises:
        LimitError: outside the limits, or not a finite number.
    """
    shown = f"{quantity}={value:g}"
    if low is not None and not value >= low:
        raise LimitError(instrument, f"{shown} is below the minimum of {low:g} {unit}".rstrip(),
                         f"choose {low:g} or more")
    if high is not None and not value <= high:
        raise LimitError(instrument, f"{shown} is above the maximum of {high:g} {unit}".rstrip(),
                         f"choose {high:g} or less")
    if value != value:
        raise LimitError(instrument, f"{shown} is not a number")
