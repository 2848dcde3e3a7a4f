"""Which profile fits a device nobody knows: ask what each page would ask, and judge what the answers say.

A page fits when the device gives its registers and the values are what a building has: mains at 230 V and 50 Hz, rooms
at 20 °C. Zeros say little, and bits nothing at all, so pages of coils are not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from building.clock import Clock
from building.errors import BadFrame, MeterRefused, NoAnswer
from building.readings import with_flaws
from building.site import Device
from collector.asking import Answer, ask_device
from collector.decoding import decode_blocks
from collector.examining import better_order
from collector.links.modbus import READ_HOLDING, READ_INPUT, ModbusLink
from collector.planning import Block, limits_of, plan, points_of
from collector.profiles import Profile
from collector.sunspec import FAMILIES, Model, find_models

_USUAL: Final = {
    "voltage": (90.0, 480.0), "frequency": (45.0, 65.0), "setpoint": (15.0, 33.0), "temperature": (5.0, 45.0),
    "humidity": (5.0, 100.0), "co2": (300.0, 5000.0), "power_factor": (-1.0, 1.0), "current": (-1000.0, 1000.0),
    "active_power": (-1e6, 1e6), "illuminance": (0.0, 100_000.0),
}  # fmt: skip
_TELLING: Final = ("voltage", "frequency", "setpoint", "temperature", "humidity", "co2")
_SMALLEST: Final = 1e-6
_GOOD: Final = 0.5  # a page below this is not worth naming
_REGISTERS: Final = ("holding", "input", "model")
_ALIVE: Final = ((READ_HOLDING, 0), (READ_INPUT, 0), (READ_HOLDING, 40_000))


class Fit(NamedTuple):
    """How well a page fits, 0 to 1, how much of it there was to see, and what the device said by it."""

    name: str
    score: float
    weight: float
    answer: Answer
    order: str | None = None  # the device's own byte order, where it is not the page's


async def is_there(link: ModbusLink, unit: int) -> str | None:
    """How a Modbus unit shows that it is there ("answers", or what it refuses); None for silence.

    Raises BadFrame when bytes come that are no answer, LinkDown.
    """
    for function, address in _ALIVE:
        try:
            await link.read(unit, function, address, 1)
        except NoAnswer:
            return None
        except MeterRefused as refused:
            if refused.code in (10, 11):
                return None  # the gateway speaks for a device that is not there
            if refused.code == 2:
                continue  # not this register; it is alive, and the next try may say more
            return str(refused)
        return "answers"
    return "answers"


async def fits(
    link: ModbusLink,
    unit: int,
    pages: Mapping[str, Profile],
    clock: Clock,
    tried: Callable[[str], None] = lambda name: None,
) -> list[Fit]:
    """The pages that fit a Modbus unit, best first. ``tried`` is told each page's name. Raises NoAnswer, LinkDown."""
    found: list[Fit] = []
    families = {model.ident for model in await _models(link, unit)}
    for name, page in pages.items():
        tried(name)
        if not _worth_trying(page, families):
            continue
        device = Device(id=f"unit {unit}", kind="electricity", unit=unit, litres_per_pulse=1.0)
        try:
            await _first_block(link, page, device)
            answer = await ask_device(link, device, page, clock)
        except (MeterRefused, BadFrame):
            continue
        fit = _fit(name, page, device, answer)
        if fit.score >= _GOOD:
            found.append(fit)
    # Of a family with one map the larger model's page shows more, and shows zeros of the smaller.
    return sorted(found, key=lambda fit: -fit.score * fit.weight)


def _fit(name: str, page: Profile, device: Device, answer: Answer) -> Fit:
    """By the page's byte order, or by another if the same words make sense by that alone."""
    fit = Fit(name, *fitness(page, answer), answer)
    order = better_order(device, page, answer) if fit.score < _GOOD else None
    if order is None:
        return fit
    turned = device.model_copy(update={"order": order})
    values, flaws, details = decode_blocks(
        page, turned, [(block.function, block.address, data) for block, data in answer.blocks]
    )
    answer = Answer(with_flaws(device.id, answer.reading.taken_at, values, flaws), answer.blocks, details)
    return Fit(name, *fitness(page, answer), answer, order)


async def _models(link: ModbusLink, unit: int) -> list[Model]:
    try:
        return await find_models(link, unit)
    except BadFrame:
        return []


def _worth_trying(page: Profile, models: set[int]) -> bool:
    pulses = any(row.unit == "pulse" for row in page.registers)  # any counter at all would fit
    if page.protocol != "modbus" or page.table not in _REGISTERS or pulses:
        return False
    if page.table == "model":
        return any(ident in models for row in page.registers for ident in FAMILIES.get(int(row.item, 16), ()))
    return True


async def _first_block(link: ModbusLink, page: Profile, device: Device) -> None:
    """The block with most values alone: most pages fall here, at the price of one request. Raises MeterRefused."""
    blocks: tuple[Block, ...] = plan(points_of(page, device), limits_of(page))
    if not blocks:
        raise MeterRefused(2, "has nothing to be asked for")
    block = max(blocks, key=lambda one: len(one.points))
    assert device.unit is not None
    await link.read(device.unit, block.function, block.address, block.length)


def fitness(page: Profile, answer: Answer) -> tuple[float, float]:
    """The share (0 to 1) of the page's quantities that came with usual values, and their weight.

    Telling quantities weigh five, others one; a zero is worth a third of a value.
    """
    values = answer.reading.values
    total = gained = 0.0
    telling = False
    for name in page.quantities:
        kind = next((kind for kind in _USUAL if name.startswith(kind)), None)
        weight = 5.0 if kind in _TELLING else 1.0
        total += weight
        value = values.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            gained += weight
        elif value == 0:
            gained += 0.3 * weight
        elif kind is None:
            gained += weight if abs(value) >= _SMALLEST else 0
        elif abs(value) >= _SMALLEST and _USUAL[kind][0] <= value <= _USUAL[kind][1]:
            gained += weight
            telling = telling or kind in _TELLING
    if not telling:
        gained /= 2  # nothing that only the right page would show
    return (gained / total if total else 0.0), gained
