"""Puts the virtual Andor libraries where pylablib looks for the DLLs (facts/andor.md section 2.1)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopl_bluesky.sim.atcore import make_atcore
from cryopl_bluesky.sim.bench import Bench
from cryopl_bluesky.sim.shamrock import make_shamrock

_PACKAGE = "pylablib.devices.Andor"
_SINGLETONS = (
    (f"{_PACKAGE}.atcore_lib", f"{_PACKAGE}.AndorSDK3"),
    (f"{_PACKAGE}.ShamrockCIF_lib", f"{_PACKAGE}.Shamrock"),
)


def install(bench: Bench, scene: Callable[[], NDArray[np.float32]] | None = None) -> Callable[[], None]:
    """Let pylablib load the virtual camera and spectrograph from now on.

    Args:
        bench: the physical world.
        scene: see `make_atcore`.

    Returns:
        Function that puts pylablib's own loader back; close all devices before.
    """
    from pylablib.devices.utils import load_lib as loader

    atcore, shamrock = make_atcore(bench, scene), make_shamrock(bench)
    original = loader.load_lib

    def load_lib(name: Any, *args: Any, **kwargs: Any) -> Any:
        names = [str(one).lower() for one in (name if isinstance(name, list | tuple) else [name])]
        if any("atcore" in one for one in names):
            return atcore
        if any("atspectrograph" in one for one in names):
            return shamrock
        return original(name, *args, **kwargs)

    def uninstall() -> None:
        loader.load_lib = original
        _close_libraries()
        _forget_loaded_libraries()
        atcore.unplug()
        shamrock.unplug()

    _forget_loaded_libraries()
    loader.load_lib = load_lib
    return uninstall


def _close_libraries() -> None:
    """Let pylablib forget devices that were not closed, or it would not initialise the next library."""
    for _, device_module in _SINGLETONS:
        if device_module in sys.modules and sys.modules[device_module].libctl.initialized:
            sys.modules[device_module].libctl.shutdown()


def _forget_loaded_libraries() -> None:
    """Let pylablib load again: it keeps the first library it got for the whole process."""
    for library_module, device_module in _SINGLETONS:
        if library_module in sys.modules:
            sys.modules[library_module].wlib._initialized = False
        if device_module in sys.modules:
            sys.modules[device_module].libctl.initialized = False
