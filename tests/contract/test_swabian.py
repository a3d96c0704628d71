"""The look-alike Time Tagger module against the vendor's package: names, order, defaults, types, coercion.

`swabian_facts.json` holds what the installed package answered; without the package the look-alike is compared
with that file alone. `python tests/contract/test_swabian.py` writes it anew from the installed package.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FACTS = Path(__file__).with_name("swabian_facts.json")
CLASSES = (
    "TimeTaggerSource",
    "TimeTaggerBase",
    "TimeTaggerHardware",
    "TimeTagger",
    "IteratorBase",
    "SynchronizedMeasurements",
    "DelayedChannel",
    "Combiner",
    "Counter",
    "CounterData",
    "Countrate",
    "TimeTagStream",
    "TimeTagStreamBuffer",
    "FileWriter",
    "Histogram",
    "Correlation",
    "HistogramLogBins",
    "HistogramLogBinsData",
    "StartStop",
)
FUNCTIONS = (
    "createTimeTagger",
    "freeTimeTagger",
    "scanTimeTagger",
    "setLogger",
    "setUsageStatisticsStatus",
    "getUsageStatisticsStatus",
    "getVersion",
)
ENUMS = ("TagType", "Resolution", "ChannelEdge", "UsageStatisticsStatus")
CONSTANTS = ("CHANNEL_UNUSED", "LOGGER_INFO", "LOGGER_WARNING", "LOGGER_ERROR")
# Methods of the look-alike's own stream engine; the vendor's names have capitals.
INTERNAL = re.compile(r"_.*|[a-z_]*_[a-z_]*|consume|tags|number")
TYPES = {
    "int32_t": "int32",
    "long long": "int64",
    "int64_t": "int64",
    "uint64_t": "uint64",
    "double": "float64",
    "uint8_t": "uint8",
    "uint16_t": "uint16",
    "int8_t": "int8",
}
PROBES = [
    "Countrate(None, [1])",
    "Countrate(None, (1, 2))",
    "Countrate(None, np.array([1, 2]))",
    "Countrate(None, [np.int64(1)])",
    "Countrate(None, [1.0])",
    "Countrate(None, [1.5])",
    "Countrate(None, [])",
    "Countrate(None, 1)",
    "Countrate(None, '1')",
    "Countrate(None, None)",
    "Countrate(None, [2**40])",
    "Countrate(None, ['1'])",
    "Countrate(None, [True])",
    "Countrate(object(), [1])",
    "Countrate(None, [1], foo=1)",
    "Countrate(None)",
    "Histogram()",
    "Histogram(None)",
    "Histogram(None, 1)",
    "Histogram(None, 1, 2, 1e3, 10)",
    "Histogram(None, 1, 2, 1.5, 10)",
    "Histogram(None, 1, 2, 10**20, 10)",
    "Histogram(None, 1, 2, -5, 10)",
    "Histogram(None, 1, 2, 5, 0)",
    "Histogram(None, 1, 2, 5, 2**40)",
    "Histogram(None, None)",
    "Histogram(None, 1.0)",
    "Histogram(None, 1.5)",
    "Histogram(None, 1, 2, 'a', 10)",
    "Histogram(None, 1, 2, float('nan'), 3)",
    "Histogram(None, np.int32(1), np.int64(2), np.int64(5), np.int16(3))",
    "Histogram(tagger=None, click_channel=1, start_channel=2, binwidth=3, n_bins=4)",
    "Histogram(tagger=None, click_channel=1, start_channel=2, binwidth=3, n_bins=4, foo=5)",
    "Correlation(None)",
    "Correlation(None, 1)",
    "Correlation(None, 1, 2, 3, 4)",
    "Correlation(None, 1, 2, 3, 4, 5)",
    "Correlation(tagger=None, channel_1=1, channel_2=2, binwidth=3, n_bins=4)",
    "Correlation(None, channel_1=1, channel_2=2, binwidth=3, n_bins=4, foo=2)",
    "Correlation(None, None)",
    "StartStop(None)",
    "StartStop(None, 1)",
    "StartStop(None, 1, 2)",
    "StartStop(tagger=None, click_channel=1, start_channel=2, binwidth=3)",
    "StartStop(None, 1, 2, 3, 4)",
    "Counter(None, [1], 1.5)",
    "Counter(None, [1], 10, 1.5)",
    "Counter(None, [1], 10**20)",
    "Counter(None, [1])",
    "HistogramLogBins(None, 1, 2, 'a', 1, 10)",
    "HistogramLogBins(None, 1, 2, -9, -3, 10)",
    "TimeTagStream(None, 1.5, [1])",
    "TimeTagStream(None, -1, [1])",
    "TimeTagStream(None, 100, [1])",
    "FileWriter(None, 'x', [1])",
    "FileWriter(None, 5, [1])",
    "FileWriter(None, 'x', 1)",
    "FileWriter(None, 'x')",
    "DelayedChannel(None, 1, 5)",
    "DelayedChannel(None, None, 5)",
    "Combiner(None, [1])",
    "freeTimeTagger(None)",
    "createTimeTagger(foo=1)",
    "createTimeTagger('1234')",
    "createTimeTagger(5)",
    "createTimeTagger()",
    "TimeTagger()",
    "TimeTaggerBase()",
    "IteratorBase()",
]
PROBE_CODE = """
import json, sys
import numpy as np
from Swabian import TimeTagger as TT
answers = {}
for probe in json.loads(sys.stdin.read()):
    try:
        eval("TT." + probe)
        answers[probe] = "constructed"
    except BaseException as error:
        answers[probe] = type(error).__name__
print(json.dumps(answers))
"""


def parameters(function: Any) -> list[list[str]] | None:
    """Names and defaults; None for callables of the binding that hide them."""
    found = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in found):
        return None
    return [[p.name, "" if p.default is p.empty else repr(p.default)] for p in found]


def array_type(function: Any) -> list[Any] | None:
    """Element type and dimensions of an array that a method of the binding returns."""
    text = str(inspect.signature(function).return_annotation)
    match = re.fullmatch(r"ArgOutCallback< ([^,]+),(.*) >", text)
    return [TYPES[match[1]], match[2].count("size_t")] if match else None


def public_methods(cls: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(cls)
        if not INTERNAL.fullmatch(name) and callable(member)
    }


def describe_vendor(module: Any) -> dict[str, Any]:
    classes = {}
    for name in CLASSES:
        cls = getattr(module, name)
        classes[name] = {
            "bases": [c.__name__ for c in cls.__mro__[1:]],
            "init": parameters(cls.__init__),
            "methods": {
                key: {"parameters": parameters(m), "array": array_type(m)}
                for key, m in public_methods(cls).items()
            },
            "attributes": sorted(
                k for k, v in inspect.getmembers(cls) if isinstance(v, property) and k != "thisown"
            ),
        }
    return {
        "version": module.getVersion(),
        "constants": {name: getattr(module, name) for name in CONSTANTS},
        "enums": {
            name: {key: int(m) for key, m in getattr(module, name).__members__.items()} for name in ENUMS
        },
        "functions": {name: parameters(getattr(module, name)) for name in FUNCTIONS},
        "classes": classes,
    }


def probe_vendor(home: Path) -> dict[str, str]:
    environment = dict(os.environ, HOME=str(home), USERPROFILE=str(home))
    done = subprocess.run(
        [sys.executable, "-c", PROBE_CODE],
        input=json.dumps(PROBES),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def vendor() -> Any:
    if importlib.util.find_spec("Swabian") is None:
        pytest.skip("the vendor's package is not installed")
    from Swabian import TimeTagger

    return TimeTagger


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return json.loads(FACTS.read_text(encoding="utf-8"))


@pytest.fixture
def alike() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[1] / "sim"))
    from tagger_bench import Light, make_bench

    from cryopl_bluesky.sim.timetagger import make_module

    bench = make_bench()
    bench.faults["hbt.missing"] = 1.0
    return make_module(bench, Light)


def test_the_installed_package_is_the_one_of_the_facts(facts):
    found = json.loads(json.dumps(describe_vendor(vendor())))
    if found["version"] != facts["version"]:
        pytest.skip(f"facts are of {facts['version']}, installed is {found['version']}")
    for name in CLASSES:
        assert found["classes"][name] == facts["classes"][name], name
    assert found == {key: value for key, value in facts.items() if key != "probes"}


def test_the_installed_package_coerces_as_in_the_facts(facts, tmp_path):
    vendor()
    assert probe_vendor(tmp_path) == facts["probes"]


def test_usage_statistics_are_off(tmp_path):
    vendor()
    code = "from Swabian import TimeTagger as TT; print(int(TT.getUsageStatisticsStatus()))"
    environment = dict(os.environ, HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.stdout.strip() == "0", done.stderr


def test_constants_enums_and_functions(facts, alike):
    for name, value in facts["constants"].items():
        assert getattr(alike, name) == value
    for name, members in facts["enums"].items():
        assert issubclass(getattr(alike, name), int)
        assert {key: int(m) for key, m in getattr(alike, name).__members__.items()} == members
    for name, expected in facts["functions"].items():
        if expected is not None:
            assert parameters(getattr(alike, name)) == expected, name


@pytest.mark.parametrize("name", CLASSES)
def test_class(facts, alike, name):
    expected, cls = facts["classes"][name], getattr(alike, name)
    own_bases = [c.__name__ for c in cls.__mro__[1:] if c.__name__ in CLASSES]
    assert own_bases == [base for base in expected["bases"] if base in CLASSES]
    if expected["init"] is not None and name not in (
        "CounterData",
        "TimeTagStreamBuffer",
        "HistogramLogBinsData",
    ):
        assert parameters(cls.__init__) == expected["init"]
    for key, method in public_methods(cls).items():
        assert key in expected["methods"], f"{name}.{key} does not exist in the vendor's package"
        if expected["methods"][key]["parameters"] is not None:
            assert parameters(method) == expected["methods"][key]["parameters"], f"{name}.{key}"


def test_arrays_have_the_vendors_types(facts, alike):
    alike_bench_free = alike.createTimeTagger.__self__
    alike_bench_free._bench.faults.clear()
    tagger = alike.createTimeTagger()
    objects = [
        alike.Countrate(tagger, [-1]),
        alike.Counter(tagger, [-1], 10**6, 3),
        alike.Histogram(tagger, -1, -3),
        alike.Counter(tagger, [-1], 10**6, 3).getDataObject(),
        alike.Correlation(tagger, -1, -2),
        alike.HistogramLogBins(tagger, -1, -2, -9, -3, 4),
        alike.StartStop(tagger, -1, -2),
        alike.HistogramLogBins(tagger, -1, -2, -9, -3, 4).getDataObject(),
        alike.Combiner(tagger, [-1, -2]),
        alike.TimeTagStream(tagger, 10, [-1]).getData(),
    ]
    checked = 0
    for item in objects:
        known = facts["classes"][type(item).__name__]
        for key in public_methods(type(item)):
            if known["methods"][key]["array"] is not None:
                array = getattr(item, key)()
                assert [array.dtype.name, array.ndim] == known["methods"][key]["array"], (type(item), key)
                checked += 1
        for attribute in known["attributes"]:
            assert hasattr(item, attribute), (type(item), attribute)
    assert checked >= 30


@pytest.mark.parametrize("probe", PROBES)
def test_coercion(facts, alike, probe):
    import numpy as np

    expected = facts["probes"][probe]
    if expected == "constructed":
        eval("alike." + probe, {"alike": alike, "np": np})
    else:
        with pytest.raises(Exception) as caught:
            eval("alike." + probe, {"alike": alike, "np": np})
        assert type(caught.value).__name__ == expected


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        content = {**describe_vendor(vendor()), "probes": probe_vendor(Path(home))}
    lines = []
    for key, value in sorted(content.items()):
        if key in ("classes", "probes"):
            inner = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f"{json.dumps(key)}: {{\n  {inner}\n }}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    FACTS.write_text("{\n " + ",\n ".join(lines) + "\n}\n", encoding="utf-8")
