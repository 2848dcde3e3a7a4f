"""The keeper: blobs and growing tables that survive, and that others may read at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from building.errors import StoreAway
from collector.storing import DATABASE, EmbeddedStore, Keeper
from tests.storing_parts import every_kind_of_reading


def test_what_was_saved_last_is_loaded_after_a_restart(tmp_path: Path) -> None:
    with Keeper(tmp_path / "kept.db") as keeper:
        assert keeper.load("rules") is None
        keeper.save("rules", b"first")
        keeper.save("rules", b"\x00second")
    with Keeper(tmp_path / "kept.db") as keeper:
        assert keeper.load("rules") == b"\x00second"


def test_records_come_in_order_of_time_and_can_be_asked_by_time_and_key(tmp_path: Path) -> None:
    with Keeper(tmp_path / "kept.db") as keeper:
        keeper.append("journal", 30, "main", {"what": "换表", "old": 1.5})
        keeper.append("journal", 10, "water", {"what": "wrap"})
        keeper.append("audit", 20, "main", {"who": "admin"})
        assert [record["what"] for record in keeper.records("journal")] == ["wrap", "换表"]
        assert keeper.records("journal", since=11) == [{"what": "换表", "old": 1.5}]
        assert keeper.records("journal", key="water") == [{"what": "wrap"}]
        assert keeper.records("journal", since=11, key="water") == []
        assert keeper.records("nothing") == []


def test_another_keeper_reads_while_this_one_writes_in_the_file_of_the_store(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / DATABASE) as store, Keeper(tmp_path / DATABASE) as writer:
        with Keeper(tmp_path / DATABASE) as reader:
            for number in range(20):
                writer.append("alerts", number, "a", {"number": number})
                store.write(every_kind_of_reading())
                assert len(reader.records("alerts")) == number + 1
        assert store.count() == len(every_kind_of_reading())


def test_a_place_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreAway, match="see that the disk has room"):
        Keeper(tmp_path / "folder")
