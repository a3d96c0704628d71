import doctest
import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def example(page, section):
    """Names that the first example after a heading leaves behind."""
    text = (DOCS / page).read_text().split(section, 1)[1]
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    names = {}
    exec(block.group(1), names)
    return names


def test_example_of_the_temperature_laws():
    gap = example("temperature-laws.md", "# Temperature laws")["gap"]
    assert gap.good
    assert gap.values["A_EP_eV"] * 1e3 == pytest.approx(11.7, abs=0.05)
    assert gap.errors["A_EP_eV"] * 1e3 == pytest.approx(0.8, abs=0.05)
    assert abs(gap.values["hw_eV"] - 0.02) < 2 * gap.errors["hw_eV"]


def test_example_of_the_g2_models():
    fit = example("g2.md", "## Models")["fit"]
    assert fit.good
    assert abs(fit.g2_0 - 0.3) < 3 * fit.g2_0_err
    assert fit.g2_0_full_period > fit.g2_0


@pytest.mark.parametrize("module", ["temperature_fits", "temperature_series", "funnelling", "g2_models"])
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"cryopl_bluesky.analysis.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
