"""One ophyd class per instrument: signals with units, Status objects, asset documents."""
