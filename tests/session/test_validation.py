import pytest
from event_model import DocumentNames, EventModelValidationError, compose_run, schema_validators
from jsonschema import ValidationError

from cryopl_bluesky.session.validation import FirstEventValidator, validate_first_events_only


@pytest.fixture
def compose_event():
    before = schema_validators[DocumentNames.event]
    validate_first_events_only()
    validate_first_events_only()
    keys = {name: {"dtype": "number", "shape": [], "source": "test"} for name in ("x", "y")}
    yield compose_run().compose_descriptor(name="primary", data_keys=keys).compose_event
    schema_validators[DocumentNames.event] = before


def test_event_model_asks_the_replacement_and_the_first_event_is_checked(compose_event):
    validator = schema_validators[DocumentNames.event]
    assert isinstance(validator, FirstEventValidator)
    assert not isinstance(validator.full, FirstEventValidator)
    values, times = {"x": 1.0, "y": 2.0}, {"x": 0.0, "y": 0.0}
    with pytest.raises(ValidationError):
        compose_event(data=values, timestamps=times, time="yesterday")
    compose_event(data=values, timestamps=times)
    compose_event(data=values, timestamps=times)


def test_keys_are_compared_with_the_descriptor_in_every_event(compose_event):
    values, times = {"x": 1.0, "y": 2.0}, {"x": 0.0, "y": 0.0}
    compose_event(data=values, timestamps=times)
    with pytest.raises(EventModelValidationError):
        compose_event(data={"x": 1.0}, timestamps={"x": 0.0})
