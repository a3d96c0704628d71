"""The names a user finds at the prompt."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cryopl_bluesky import plans

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator
    from tiled.client.container import Container

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


class LazyCatalog:
    """`cat` at the prompt: the Tiled client, asked for only when it is used.

    The prompt need not wait until the catalog is open, and a client whose server went away is replaced.

    Args:
        client: gives the client; waits until there is one.
    """

    def __init__(self, client: Callable[[], Container]):
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._client()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._client())

    def __len__(self) -> int:
        return len(self._client())

    def __dir__(self) -> list[str]:
        return dir(self._client())

    def __repr__(self) -> str:
        return repr(self._client())
