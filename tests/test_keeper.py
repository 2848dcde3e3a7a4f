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


@pytest.mark.parametrize("damage", [b"this is no database" * 999, None])
def test_a_damaged_memory_stops_the_start_with_the_ways_out_and_is_left_as_it_is(
    tmp_path: Path, damage: bytes | None
) -> None:
    """None: the file begins well, and a page of the tables in it is broken."""
    file = tmp_path / "memory.db"
    with Keeper(file) as keeper:
        for number in range(2_000):
            keeper.append("meter journal", number, "main", {"event": "exchange", "old": number})
    before = damage or file.read_bytes()[:4096] + b"\xa5" * (file.stat().st_size - 4096)
    file.write_bytes(before)
    with pytest.raises(StoreAway) as told, Keeper(file) as keeper:
        keeper.records("meter journal")
    assert "memory.db is damaged" in str(told.value)
    assert "greenwarden restore" in str(told.value)
    assert "move it away" in str(told.value)
    assert "disk has room" not in str(told.value)
    assert file.read_bytes() == before


def test_a_place_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreAway, match="see that the disk has room"):
        Keeper(tmp_path / "folder")
