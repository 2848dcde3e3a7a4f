"""What energy and water cost, and what they put into the air."""

from __future__ import annotations

import pytest

from building.money import Waste, price
from building.site import SiteInfo, Tariffs

SITE = SiteInfo(tariffs=Tariffs(electricity=0.78, water=4.10, currency="CNY"))


def test_electricity_costs_money_and_carbon() -> None:
    # 10 kWh at 0.78 CNY, at 0.5306 kg CO2 per kWh
    assert price(SITE, kwh=10) == pytest.approx(Waste(10, None, 7.8, "CNY", 5.306))


def test_water_is_priced_per_cubic_metre_and_has_no_factor_of_carbon() -> None:
    assert price(SITE, litres=500) == pytest.approx(Waste(None, 500, 2.05, "CNY", None))


def test_what_is_unknown_stays_unknown_and_nothing_is_free() -> None:
    assert price(SITE) == Waste(None, None, None, "CNY", None)
    assert price(SITE, kwh=0) == Waste(0, None, 0, "CNY", 0)


def test_where_the_site_tells_no_price_the_cost_is_unknown_and_the_energy_is_told() -> None:
    untold = SiteInfo(tariffs=Tariffs(water=4.10))
    assert price(untold, kwh=10) == pytest.approx(Waste(10, None, None, "CNY", 5.306))
    assert price(untold, kwh=10, litres=500).cost is None
    assert price(untold, litres=500).cost == pytest.approx(2.05)


def test_a_price_of_nothing_is_a_price() -> None:
    assert price(SiteInfo(tariffs=Tariffs(electricity=0)), kwh=10).cost == 0
