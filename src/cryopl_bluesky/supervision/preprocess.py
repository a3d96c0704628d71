"""The frame of a RunEngine preprocessor that looks at each message of a plan before it is processed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bluesky.utils import Msg, MsgGenerator, ensure_generator


def look_at_each(plan: Iterable[Msg], look: Callable[[Msg], MsgGenerator[Msg]]) -> MsgGenerator[Any]:
    """A plan with more messages before some of its own.

    What fails in between is raised in the plan, at the message that it stands before: the plan's own clean-up runs.

    Args:
        plan: any plan.
        look: called with each of its messages; yields what comes before it and returns the message to go on with.
    """
    inner: Any = ensure_generator(plan)
    step, value = inner.send, None
    while True:
        try:
            msg = step(value)
        except StopIteration as end:
            return end.value
        try:
            msg = yield from look(msg)
            step, value = inner.send, (yield msg)
        except GeneratorExit:
            inner.close()
            raise
        except Exception as error:  # noqa: BLE001 - the plan itself decides what to do about it
            step, value = inner.throw, error
