"""What energy and water cost, and what they put into the air."""

from __future__ import annotations

from typing import NamedTuple

from building.site import SiteInfo


class Waste(NamedTuple):
    """kWh and litres used for nothing, with money in ``currency`` and kg CO2; None where nothing was measured."""

    kwh: float | None
    litres: float | None
    cost: float | None
    currency: str
    kgco2: float | None


def price(site: SiteInfo, *, kwh: float | None = None, litres: float | None = None) -> Waste:
    """``kwh`` and ``litres`` at the site's tariffs and factors. What is None stays None: unknown is not free."""
    if kwh is None and litres is None:
        return Waste(None, None, None, site.tariffs.currency, None)
    cost = (kwh or 0.0) * site.tariffs.electricity + (litres or 0.0) / 1000 * site.tariffs.water
    kgco2 = None if kwh is None else kwh * site.factors.grid_co2
    return Waste(kwh, litres, cost, site.tariffs.currency, kgco2)
