"""From readings to the store: the durable queue, the embedded store, InfluxDB of any age, and what is kept beside."""

from collector.storing.embedded import DATABASE, EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.keeper import Keeper
from collector.storing.service import Storing, StoringStatus, store_for
from collector.storing.stored import Point, StoredReadings

__all__ = [
    "DATABASE",
    "EmbeddedStore",
    "InfluxStore",
    "Keeper",
    "Point",
    "StoredReadings",
    "Storing",
    "StoringStatus",
    "store_for",
]
