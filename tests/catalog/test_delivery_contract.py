"""The names of `bluesky_tiled_plugins` that `catalog/delivery.py` relies on though they are private."""

from __future__ import annotations

import inspect

from bluesky_tiled_plugins import TiledWriter
from bluesky_tiled_plugins.writing.tiled_writer import RunNormalizer, _RunWriter


def test_the_object_that_writes_a_run_has_the_caches_and_methods_of_the_flush():
    writer = _RunWriter(client=None)
    assert writer._internal_data_cache == {} and writer._external_data_cache == {}
    assert writer._desc_nodes == {} and writer.notes == []
    assert list(inspect.signature(writer._write_internal_data).parameters) == ["data_cache", "desc_node"]
    assert list(inspect.signature(writer._write_external_data).parameters) == ["doc"]


def test_tiled_writer_makes_one_and_subscribes_it_to_the_normalizer():
    subscribed = []

    class Normalizer(RunNormalizer):
        def subscribe(self, func, name="all"):
            subscribed.append(func)
            return super().subscribe(func, name)

    class Client:
        def include_data_sources(self):
            return self

    writer = TiledWriter(Client(), normalizer=Normalizer, patches={}, batch_size=500, max_array_size=0)
    writer._factory("start", {"uid": "a"})
    assert [type(item) for item in subscribed] == [_RunWriter]
    assert subscribed[0]._batch_size == 500 and subscribed[0]._max_array_size == 0


def test_the_note_about_rows_that_may_be_doubled_is_worded_as_we_look_for_it():
    assert "forcing a retry" in inspect.getsource(_RunWriter._append_with_retry)
