"""Which image answers for which unit of a link."""

from __future__ import annotations

from building.errors import ConfigError
from building.site import Device, Link
from simulators.building import OfficeBuilding
from simulators.registers import Image
from simulators.registers.eastron import EastronImage
from simulators.registers.intesis import IntesisImage
from simulators.registers.wirenboard import CounterImage

KNOWN = ("eastron_sdm120", "eastron_sdm630", "intesis_inmbs", "pulse_counter")
"""Names of the Modbus devices that can be played."""


def images_of(building: OfficeBuilding, link: Link) -> dict[int, Image]:
    """Unit -> image for every device on ``link``. Raises ConfigError for devices that cannot be played."""
    images: dict[int, Image] = {}
    problems = []
    for unit, devices in units_of(building, link).items():
        try:
            images[unit] = _image(building, devices)
        except KeyError:
            problems.append(
                f"device '{devices[0].id}': {devices[0].profile} of kind {devices[0].kind} cannot be simulated; "
                f"known are {', '.join(KNOWN)}"
            )
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


def _image(building: OfficeBuilding, devices: list[Device]) -> Image:
    first = devices[0]
    match first.profile:
        case "eastron_sdm120":
            return EastronImage(building, first, phases=1)
        case "eastron_sdm630":
            return EastronImage(building, first, phases=3)
        case "intesis_inmbs":
            return IntesisImage(building, first)
        case "pulse_counter":
            return CounterImage(building, {device.channel or 0: device for device in devices})
        case _:
            raise KeyError(first.profile)
