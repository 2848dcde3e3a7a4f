"""Which image answers for which unit of a link: told by the name of the profile, the one word the file has for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeVar

from building.errors import ConfigError
from building.site import Device, Link
from simulators.building import OfficeBuilding
from simulators.recognising import counts_pulses
from simulators.registers import ByFunction, Image, NumbersImage, Refused, aircons, meters, others, sunspec
from simulators.registers.tables import Table, TableImage, Values, encode, meter_values

T = TypeVar("T")

_SETTINGS_END: Final = 0x20
_PLAYABLE: Final = (
    "sdm120", "sdm220", "sdm230", "sdm630", "sdm72", "iem3000", "pm5000", "abb_b23", "em24", "em340", "janitza",
    "dtsu666", "ddsu666", "acrel_dtsd1352", "acrel_adw300", "finder_7m", "pac2200", "pac1600", "orno", "inepro",
    "phoenix", "shelly_pro3em_modbus", "pzem", "dds238", "sunspec", "intesis", "intesisbox_mhi", "mitsubishi_a1m",
    "daikin_rtd", "daikin_dta116a51", "coolmasternet", "onokom", "lg_pdrycb500", "haier", "hitachi", "siemens_rdf302",
    "bac_6000", "pulse_counter", "wb_mr6c", "relay_module", "input_module", "tuf_2000m", "xintai", "wb_msw", "xy_md02",
)  # fmt: skip


def images_of(building: OfficeBuilding, link: Link) -> dict[int, Image]:
    """Unit -> image for every device on ``link``. Raises ConfigError for devices that cannot be played."""
    images: dict[int, Image] = {}
    problems = []
    for unit, devices in units_of(building, link).items():
        image = _image(building, devices)
        if image is None:
            problems.append(
                f"device '{devices[0].id}': {devices[0].profile} of kind {devices[0].kind} cannot be simulated; "
                f"Modbus devices that can: {', '.join(playable())}"
            )
        else:
            images[unit] = image
    if problems:
        raise ConfigError(*problems)
    return images


def units_of(building: OfficeBuilding, link: Link) -> dict[int, list[Device]]:
    """Unit -> the devices that answer under it."""
    units: dict[int, list[Device]] = {}
    for device in building.site.devices:
        if device.link == link.id and device.unit is not None:
            units.setdefault(device.unit, []).append(device)
    return units


def playable() -> tuple[str, ...]:
    """Words by which a profile's name tells a Modbus device that can be played."""
    return _PLAYABLE


def _image(building: OfficeBuilding, devices: list[Device]) -> Image | None:
    first = devices[0]
    name = (first.profile or "").lower().replace("-", "_")
    channels = {device.channel or 0: device for device in devices}
    if first.kind == "aircon" and (gateway := _fitting(name, aircons.MODELS)):
        units = {channel: aircons.IndoorUnit(building, device) for channel, device in channels.items()}
        return gateway(units if 0 in units or len(units) > 1 else {0: next(iter(units.values())), **units})
    if (other := _fitting(name, others.MODELS)) and _suits(other.__name__, first):
        return other(building, channels)
    if first.id not in building.meters:
        return None
    if "sunspec" in name:
        return sunspec.sunspec(building, building.meters[first.id], floats="float" in name or "21" in name)
    table = _fitting(name, meters.MODELS)
    return None if table is None else _meter_image(building, first, table)


def _suits(maker: str, device: Device) -> bool:
    if maker in ("mcm8", "tuf_2000m", "xintai"):
        return counts_pulses(device)
    return device.kind == "sensor" if maker in ("msw", "xy_md02") else True


def _fitting(name: str, models: Iterable[tuple[str, T]]) -> T | None:
    return next((model for pattern, model in models if re.search(pattern, name)), None)


def _meter_image(building: OfficeBuilding, device: Device, table: Table) -> Image:
    meter = building.meters[device.id]
    meter.counter_top = table.top_kwh

    def values() -> Values:
        told = meter_values(building, meter)
        return _behind(device, told) if table.secondary else told

    image = TableImage(table, values)
    if table in (meters.EASTRON_1, meters.EASTRON_3):
        return ByFunction({4: image, 3: _eastron_settings(device)})
    return image


def _behind(device: Device, told: Values) -> Values:
    """What a meter behind transformers sees of the values of its circuit."""
    current, voltage = device.ct_ratio, device.vt_ratio
    ratios = {"v": voltage, "i": current, **dict.fromkeys("pqs", current * voltage)}
    ratios |= dict.fromkeys(("imp", "exp", "rimp", "rexp"), current * voltage) | {"pf": 1.0}
    return {name: value / ratios.get(name.rstrip("123p") if name == "i1p" else name.rstrip("123"), 1.0)
            for name, value in told.items()}  # fmt: skip


def _eastron_settings(device: Device) -> Image:
    """Parity (8N1), the meter's address and 9600 baud as f32 pairs."""
    words = dict.fromkeys(range(_SETTINGS_END), 0)
    for address, value in ((0x12, 0.0), (0x14, float(device.unit or 1)), (0x1C, 2.0)):
        raw = encode(value, "f32")
        words |= {address: int.from_bytes(raw[:2], "big"), address + 1: int.from_bytes(raw[2:], "big")}
    return NumbersImage({3: lambda: words}, most=80)


__all__ = ["Refused", "images_of", "playable", "units_of"]
