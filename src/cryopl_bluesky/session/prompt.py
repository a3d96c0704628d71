"""The IPython prompt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bluesky.utils import FailedStatus

from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.plans import __all__ as PLAN_NAMES

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from cryopl_bluesky.session.session import Session

BANNER = """\
cryopl-bluesky, profile {profile}, data in {folder}

  RE(spectral_image(exposure_s=0.5))     take a measurement        plans: {plans}
  cat[-1]                                the newest run            devices: {devices}
  %wa                                    where everything stands   spectral_image?  explains a plan
"""


def start_prompt(session: Session) -> None:
    """Start IPython with the session's names and return when the user leaves it."""
    import IPython
    from bluesky.callbacks.best_effort import BestEffortCallback
    from IPython.terminal.ipapp import load_default_config

    table = BestEffortCallback()
    table.disable_plots()
    session.RE.subscribe(table)
    names = session.namespace()
    config = load_default_config()
    config.TerminalInteractiveShell.banner1 = BANNER.format(
        profile=session.profile.name, folder=session.folder.root, plans=", ".join(PLAN_NAMES),
        devices=", ".join(instrument.name for instrument in session.instruments),
    )
    config.InteractiveShellApp.exec_lines = ["_prepare_shell(get_ipython())"]
    IPython.start_ipython(argv=[], user_ns={**names, "_prepare_shell": _prepare_shell}, config=config)


def _prepare_shell(shell: InteractiveShell) -> None:
    """Bluesky's magics, and one line instead of a traceback for what an instrument or a limit refuses."""
    from bluesky.magics import BlueskyMagics

    shell.register_magics(BlueskyMagics)
    shell.set_custom_exc((InstrumentError, FailedStatus), _explain)


def _explain(
    shell: InteractiveShell, kind: type, error: BaseException, trace: Any, tb_offset: int | None = None
) -> None:
    cause = error.__cause__ if isinstance(error, FailedStatus) and error.__cause__ is not None else error
    if isinstance(cause, InstrumentError):
        print(f"error: {cause}", file=sys.stderr)
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
