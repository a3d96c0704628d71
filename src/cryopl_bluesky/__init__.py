"""Bluesky orchestration of a cryogenic wide-field photoluminescence microscope."""

from importlib.metadata import version

__version__ = version("cryopl-bluesky")
