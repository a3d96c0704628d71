import json
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def vectors():
    return json.loads((DATA / "test_vectors.json").read_text())
