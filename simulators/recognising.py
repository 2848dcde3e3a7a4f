"""What a device of the site's file is in the building, where its kind leaves that open."""

from __future__ import annotations

from typing import Final

from building.site import Device

_CONTACT: Final = ("window", "door", "contact", "窗", "门")


def is_contact(device: Device) -> bool:
    """Whether a sensor is a contact on a window or door, by what it says (``quantities``) or by its name."""
    if device.kind != "sensor":
        return False
    if device.quantities:
        return "contact" in device.quantities and "occupancy" not in device.quantities
    words = f"{device.id} {device.name} {device.appliance}".lower()
    return any(word in words for word in _CONTACT)


def sees_people(device: Device) -> bool:
    """Whether a sensor tells presence; those of a room mostly tell light and temperature as well."""
    return device.kind == "sensor" and not is_contact(device)


def counts_pulses(device: Device) -> bool:
    """Whether a meter shows m3 of water or gas."""
    return device.kind in ("water", "gas")
