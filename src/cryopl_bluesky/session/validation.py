"""The full schema check once per kind of event, not once per event.

event-model checks every event against its JSON schema, 0.3 ms for numbers and 0.6 ms with an array, more than all
the rest of the RunEngine's work (`benchmarks/bench_orchestration.py`). Within a run all events of a descriptor are
made alike, and event-model compares their keys with the descriptor in any case; so the first event of each
descriptor gets the full check and the others do not need it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from event_model import DocumentNames, schema_validators

REMEMBERED = 1000
"""How many descriptors are remembered; a forgotten one merely has one more event checked."""


class FirstEventValidator:
    """Stands in for event-model's validator of events.

    Args:
        full: the validator it replaces.
    """

    def __init__(self, full: Any):
        self.full = full
        self._known: OrderedDict[str, None] = OrderedDict()

    def validate(self, event: Mapping[str, Any]) -> None:
        """Check an event whose descriptor was not seen before.

        Raises:
            jsonschema.ValidationError: it is no valid event document.
        """
        descriptor = event.get("descriptor")
        if descriptor in self._known:
            return
        self.full.validate(event)
        self._known[str(descriptor)] = None
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def validate_first_events_only() -> None:
    """Have event-model use `FirstEventValidator` in this process; calling it again does nothing."""
    full = schema_validators[DocumentNames.event]
    if not isinstance(full, FirstEventValidator):
        schema_validators[DocumentNames.event] = FirstEventValidator(full)
