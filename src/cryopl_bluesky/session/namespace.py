"""The names a user finds at the prompt."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cryopl_bluesky import plans

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from cryopl_bluesky.devices.instruments import Instruments


def bind(plan: Callable[..., MsgGenerator[Any]], ins: Instruments) -> Callable[..., MsgGenerator[Any]]:
    """The plan with the instruments filled in, so that users write only what they choose.

    Help and tab completion show the signature without the instruments.
    """

    @functools.wraps(plan)
    def bound(*args: Any, **kwargs: Any) -> MsgGenerator[Any]:
        return plan(ins, *args, **kwargs)

    signature = inspect.signature(plan)
    bound.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
        parameters=list(signature.parameters.values())[1:]
    )
    return bound


def bound_plans(ins: Instruments) -> dict[str, Callable[..., MsgGenerator[Any]]]:
    """All plans of the package by name, with the instruments filled in."""
    return {name: bind(getattr(plans, name), ins) for name in plans.__all__}


def device_names(ins: Instruments) -> dict[str, Any]:
    """All devices by name."""
    return {instrument.name: instrument for instrument in ins}
