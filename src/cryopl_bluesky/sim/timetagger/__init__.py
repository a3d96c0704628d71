"""A module with the Time Tagger's names, fed by generated or recorded photons."""

from cryopl_bluesky.sim.timetagger.module import make_module
from cryopl_bluesky.sim.timetagger.parameters import HbtParameters

__all__ = ["HbtParameters", "make_module"]
