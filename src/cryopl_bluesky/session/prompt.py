"""The IPython prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryopl_bluesky.plans import __all__ as PLAN_NAMES

if TYPE_CHECKING:
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
    from bluesky.magics import BlueskyMagics
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
    config.InteractiveShellApp.exec_lines = ["get_ipython().register_magics(BlueskyMagics)"]
    IPython.start_ipython(argv=[], user_ns={**names, "BlueskyMagics": BlueskyMagics}, config=config)
