"""The examples of docs/calibration.md and docs/optics.md run, and print what the pages say."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from cryopl_bluesky.analysis.grating import CzernyTurner

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    """Pairs (code, printed) of a page; printed is None where the page does not say."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(m[1], m[3]) for m in re.finditer(r"```python\n(.*?)```\n(```\n(.*?)```)?", text, re.S)]


def lamp():
    """A lamp's spectrum as the first example has it: nominal axis, electrons, variance."""
    true_nm = CzernyTurner().at_pixel_nm(np.arange(2048), 600, 560, 2048, 6.5)
    edges, electrons = np.arange(2049) - 0.5, np.full(2048, 30.0)
    for nm, area in ((546.0735, 1e5), (576.9598, 4e4), (579.0663, 4e4)):
        electrons += area * np.diff(ndtr((edges - np.interp(nm, true_nm, np.arange(2048))) / 2.6))
    return {"nominal_nm": true_nm + 0.3, "electrons": electrons, "variance": electrons + 2.0}


@pytest.mark.parametrize("page", ["calibration.md", "optics.md"])
def test_examples_run_and_print_what_the_page_says(page):
    found = blocks(page)
    assert found
    names = lamp()
    for code, printed in found:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, names)
        if printed is not None:
            assert out.getvalue() == printed
    if page == "calibration.md":
        assert names["axis"].rms_nm < 1e-3
