"""What energy and water cost, and what they put into the air."""

from __future__ import annotations

from typing import NamedTuple

from building.site import SiteInfo, Tariffs


class Waste(NamedTuple):
    """kWh and litres used for nothing, with money in ``currency`` and kg CO2.

    None where nothing was measured, or, of money, where the site tells no price.
    """

    kwh: float | None
    litres: float | None
    cost: float | None
    currency: str
    kgco2: float | None


def price(site: SiteInfo, *, kwh: float | None = None, litres: float | None = None) -> Waste:
    """``kwh`` and ``litres`` at the site's tariffs and factors. What is None stays None: unknown is not free."""
    tariffs = site.tariffs
    kgco2 = None if kwh is None else kwh * site.factors.grid_co2
    return Waste(kwh, litres, _cost(tariffs, kwh, litres), tariffs.currency, kgco2)


def _cost(tariffs: Tariffs, kwh: float | None, litres: float | None) -> float | None:
    """None where nothing was measured, and where something was that has no price."""
    if kwh is None and litres is None:
        return None
    cost = 0.0
    for amount, tariff in ((kwh, tariffs.electricity), (None if litres is None else litres / 1000, tariffs.water)):
        if amount is not None:
            if tariff is None:
                return None
            cost += amount * tariff
    return cost
