"""The eight dashboards, one page each, in the order in which people read them."""

from __future__ import annotations

from typing import Final

from dashboards.boards.aircon import AIRCON
from dashboards.boards.campaign import CAMPAIGN
from dashboards.boards.department import DEPARTMENT_BOARD
from dashboards.boards.health import HEALTH
from dashboards.boards.today import TODAY
from dashboards.boards.water import WATER
from dashboards.boards.whole_building import BUILDING
from dashboards.boards.zone import ZONE_BOARD
from dashboards.description import Dashboard

BOARDS: Final[tuple[Dashboard, ...]] = (
    TODAY, BUILDING, DEPARTMENT_BOARD, ZONE_BOARD, WATER, AIRCON, HEALTH, CAMPAIGN,
)  # fmt: skip
