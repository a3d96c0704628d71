"""How long a night takes is said beforehand: from the model the first time, from past settling the second."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cryopl_bluesky.config import load_profile
from cryopl_bluesky.plans.recipe import load_recipe
from cryopl_bluesky.session.dry_run import dry_run
from cryopl_bluesky.session.night import run_recipe

pytestmark = pytest.mark.slow

RECIPE = """
name = "two nights"
sample = {name = "A3"}
temperatures_K = [10, 60, 120]

[[steps]]
plan = "widefield_image"
exposure_s = 0.1

[[steps]]
plan = "g2"
duration_s = 20
"""


def test_the_second_night_is_known_better_than_the_first(open_session, tmp_path: Path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(path)
    for limit in (0.15, 0.10):
        expected = dry_run(load_profile("sim"), recipe, tmp_path / "data", Console(file=io.StringIO()))
        session = open_session(data=tmp_path / "data", speed=3000.0)
        began_s = session.clock.monotonic()
        night = run_recipe(session, recipe, Console(file=io.StringIO()))
        took_s = session.clock.monotonic() - began_s
        assert night.complete
        assert expected.duration_s == pytest.approx(took_s, rel=limit)
        session.close()
