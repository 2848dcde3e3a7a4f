"""Tasmota, Zigbee2MQTT, Shelly of both generations, ESPHome and wmbusmeters: their own topics and payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from random import Random
from typing import Final

import numpy as np

from building.errors import ConfigError
from building.site import Device, Link
from simulators.building import OfficeBuilding
from simulators.courses import Course
from simulators.payloads import Message, Player, Switched, Talker, local, to_json
from simulators.recognising import is_contact


class TasmotaPlug(Switched):
    """A plug with energy measurement under Tasmota's usual full topic ``%prefix%/%topic%/``."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self.topic = device.topic or device.id
        self.online = (f"tele/{self.topic}/LWT", b"Online", b"Offline")
        self._tz = building.site.site.tz
        self._began = building.now
        self._today: tuple[object, float] = (None, 0.0)
        self._yesterday = 0.0
        self._told = self.meter.energy

    def _say(self, now: int, due: bool) -> list[Message]:
        messages = []
        energy, day = self.meter.energy, local(now, self._tz).date()
        if self._today[0] != day:
            self._yesterday = energy - self._today[1] if self._today[0] else 0.0
            self._today = (day, energy)
        turned, word = self.turned(), "ON" if self.on else "OFF"
        if turned:
            messages.append(Message(f"stat/{self.topic}/RESULT", to_json({"POWER": word})))
            messages.append(Message(f"stat/{self.topic}/POWER", word.encode()))
        if due:
            self.telemetry += 1
            messages.append(Message(f"tele/{self.topic}/STATE", to_json(self._state(now, word))))
            messages.append(Message(f"tele/{self.topic}/SENSOR", to_json(self._sensor(now, energy))))
        return messages

    def _state(self, now: int, word: str) -> Mapping[str, object]:
        up = (now - self._began) // 1000
        uptime = f"{up // 86400}T{up // 3600 % 24:02}:{up // 60 % 60:02}:{up % 60:02}"
        return {
            "Time": _time(self.device_time(now), self._tz),
            "Uptime": uptime,
            "UptimeSec": up,
            "Heap": 25,
            "SleepMode": "Dynamic",
            "Sleep": 50,
            "LoadAvg": 19,
            "MqttCount": 1,
            "POWER": word,
            "Wifi": {"AP": 1, "SSId": "office", "Channel": 6, "RSSI": 78, "Signal": -61},
        }

    def _sensor(self, now: int, energy: float) -> Mapping[str, object]:
        says = self.electric()
        period = round((energy - self._told) * 1000)
        self._told = energy
        return {
            "Time": _time(self.device_time(now), self._tz),
            "ENERGY": {
                "TotalStartTime": _time(self._began - 30 * 86_400_000, self._tz),
                "Total": round(energy, 3),
                "Yesterday": round(self._yesterday, 3),
                "Today": round(energy - self._today[1], 3),
                "Period": period,
                "Power": round(says["power"]),
                "ApparentPower": round(says["apparent"]),
                "ReactivePower": round(says["reactive"]),
                "Factor": round(says["factor"], 2),
                "Voltage": round(says["voltage"]),
                "Current": round(says["current"], 3),
            },
        }


class TasmotaCounter(Talker):
    """Pulses on the inputs of a Tasmota board: ``COUNTER.C1`` and so on."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self._topic = device.topic or device.id
        self.online = (f"tele/{self._topic}/LWT", b"Online", b"Offline")

    def _say(self, now: int, due: bool) -> list[Message]:
        if not due:
            return []
        self.telemetry += 1
        stamp = _time(self.device_time(now), self.building.site.site.tz)
        input_number = (self.device.channel or 0) + 1
        said = {"Time": stamp, "COUNTER": {f"C{input_number}": int(self.building.pulses(self.device)[0])}}
        return [Message(f"tele/{self._topic}/SENSOR", to_json(said))]


class ShellyOne(Switched):
    """Generation 1: every value under a topic of its own, energy in watt-minutes, as text."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self._topic = f"shellies/{device.topic or device.id}"
        self._part = f"{self._topic}/{'relay' if device.kind in ('plug', 'light') else 'emeter'}/{device.channel or 0}"
        self.online = (f"{self._topic}/online", b"true", b"false")

    def _say(self, now: int, due: bool) -> list[Message]:
        if not (self.turned() or due):
            return []
        says, energy = self.electric(), self.meter.energy
        self.telemetry += due
        if self.device.kind not in ("plug", "light"):
            values = {
                "power": f"{says['power']:.2f}", "voltage": f"{says['voltage']:.2f}",
                "current": f"{says['current']:.2f}",
                "pf": f"{says['factor']:.2f}", "reactive_power": f"{says['reactive']:.2f}",
                "total": f"{energy * 1000:.1f}", "total_returned": "0.0",
            }  # fmt: skip
            return [Message(f"{self._part}/{name}", text.encode()) for name, text in values.items()]
        return [
            Message(self._part, b"on" if self.on else b"off"),
            Message(f"{self._part}/power", f"{says['power']:.2f}".encode()),
            Message(f"{self._part}/energy", str(round(energy * 60_000)).encode()),
        ]


class ShellyTwo(Switched):
    """Generation 2 and later: only what changed under ``events/rpc``, whole components under ``status``."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self._topic = device.topic or device.id
        self.online = (f"{self._topic}/online", b"true", b"false")

    def _say(self, now: int, due: bool) -> list[Message]:
        turned = self.turned()
        if not (turned or due):
            return []
        self.telemetry += due
        if self.device.kind in ("plug", "light"):
            name = f"switch:{self.device.channel or 0}"
            whole: Mapping[str, object] = self._switch(now)
            part = {"id": self.device.channel or 0, "output": self.on, "apower": whole["apower"]}
        else:
            return self._three_phases(now)
        messages = [self._notified(now, {name: part})]
        if due:
            messages.append(Message(f"{self._topic}/status/{name}", to_json(whole)))
        return messages

    def _switch(self, now: int) -> Mapping[str, object]:
        says = self.electric()
        return {
            "id": self.device.channel or 0,
            "source": "init",
            "output": self.on,
            "apower": round(says["power"], 1),
            "voltage": round(says["voltage"], 1),
            "freq": 50.0,
            "current": round(says["current"], 3),
            "pf": round(says["factor"], 2),
            "aenergy": {
                "total": round(self.meter.energy * 1000, 3), "by_minute": [0.0, 0.0, 0.0],
                "minute_ts": self.device_time(now) // 60_000 * 60,
            },
            "temperature": {"tC": 41.3, "tF": 106.3},
        }  # fmt: skip

    def _three_phases(self, now: int) -> list[Message]:
        meter, at = self.meter, self.building.now
        power, energy = meter.power, meter.energy * 1000
        live: dict[str, object] = {"id": 0, "n_current": None}
        data: dict[str, object] = {"id": 0}
        amperes = 0.0
        for phase, (letter, share) in enumerate(zip("abc", meter.shares, strict=True)):
            volts = meter.voltage(at, phase)
            current = power * share / meter.factor / volts
            amperes += current
            live |= {
                f"{letter}_act_power": round(power * share, 1), f"{letter}_voltage": round(volts, 1),
                f"{letter}_aprt_power": round(power * share / meter.factor, 1), f"{letter}_current": round(current, 3),
                f"{letter}_pf": meter.factor, f"{letter}_freq": 50.0,
            }  # fmt: skip
            data |= {f"{letter}_total_act_energy": round(energy * share, 2), f"{letter}_total_act_ret_energy": 0.0}
        live |= {"total_act_power": round(power, 1), "total_aprt_power": round(power / meter.factor, 1),
                 "total_current": round(amperes, 3)}  # fmt: skip
        data |= {"total_act": round(energy, 2), "total_act_ret": 0.0}
        return [
            self._notified(now, {"em:0": live}),
            Message(f"{self._topic}/status/em:0", to_json(live)),
            Message(f"{self._topic}/status/emdata:0", to_json(data)),
        ]

    def _notified(self, now: int, components: Mapping[str, object]) -> Message:
        stamp = round(self.device_time(now) / 1000, 2)
        said = {"src": self._topic, "dst": f"{self._topic}/events", "method": "NotifyStatus",
                "params": {"ts": stamp, **components}}  # fmt: skip
        return Message(f"{self._topic}/events/rpc", to_json(said))


class ZigbeeSensor(Talker):
    """A battery motion sensor behind Zigbee2MQTT: speaks when occupancy changes, and once a period."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self.topic = f"zigbee2mqtt/{device.topic or device.id}"
        self.online = (f"{self.topic}/availability", b'{"state":"online"}', b'{"state":"offline"}')
        luck = Random(f"{building.seed}/battery/{device.id}")
        self._battery = luck.randint(62, 100)
        self._link = luck.randint(70, 190)
        self._was: bool | None = None

    def watched(self) -> Course | None:
        """Whether it sees somebody."""
        return self.building.day.occupied[self.device.id]

    def _say(self, now: int, due: bool) -> list[Message]:
        course = self.watched()
        occupied = course is not None and course.at(now) > 0
        if not due and occupied is self._was:
            return []
        self._was = occupied
        self.telemetry += 1
        said = {
            "battery": self._battery,
            "illuminance": round(self.building.illuminance(self.device)),
            "linkquality": self._link,
            "occupancy": occupied,
            "temperature": round(self.building.temperature(self.device), 2),
            "voltage": 2700 + 4 * self._battery,  # mV: it runs on a battery
        }
        return [Message(self.topic, to_json(said))]


class ZigbeeContact(Talker):
    """A battery contact on a window behind Zigbee2MQTT: true while it is closed."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self.topic = f"zigbee2mqtt/{device.topic or device.id}"
        self.online = (f"{self.topic}/availability", b'{"state":"online"}', b'{"state":"offline"}')
        self._was: bool | None = None

    def watched(self) -> Course | None:
        """The window."""
        return self.building.day.window[self.device.zone or ""]

    def _say(self, now: int, due: bool) -> list[Message]:
        closed = not self.building.is_open(self.device)
        if not due and closed is self._was:
            return []
        self._was = closed
        self.telemetry += 1
        return [Message(self.topic, to_json({"battery": 91, "contact": closed, "linkquality": 112, "voltage": 3025}))]


class ZigbeePlug(Switched):
    """A TS011F-like plug, or a lamp, behind Zigbee2MQTT."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self.topic = f"zigbee2mqtt/{device.topic or device.id}"
        self.online = (f"{self.topic}/availability", b'{"state":"online"}', b'{"state":"offline"}')

    def _say(self, now: int, due: bool) -> list[Message]:
        if not (self.turned() or due):
            return []
        says = self.electric()
        self.telemetry += 1
        said = {
            "current": round(says["current"], 2),
            "energy": round(self.meter.energy, 2),
            "linkquality": 120,
            "power": round(says["power"]),
            "state": "ON" if self.on else "OFF",
            "voltage": round(says["voltage"]),
        }
        return [Message(self.topic, to_json(said))]


class EspHome(Talker):
    """A node of ESPHome: each value as text under a topic of its own, retained, as it does by default."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self._topic = device.topic or device.id
        self.online = (f"{self._topic}/status", b"online", b"offline")
        self._was: dict[str, str] = {}

    def watched(self) -> Course | None:
        """Presence, a window, a relay, or an air conditioner's switch."""
        day = self.building.day
        if is_contact(self.device):
            return day.window[self.device.zone or ""]
        return day.occupied.get(self.device.id) or day.switched.get(self.device.id)

    def _say(self, now: int, due: bool) -> list[Message]:
        said = self._states()
        told = {
            topic: text
            for topic, text in said.items()
            if due or (self._was.get(topic) != text and not topic.startswith("sensor/"))
        }
        self._was = said
        self.telemetry += due
        return [Message(f"{self._topic}/{topic}/state", text.encode(), retain=True) for topic, text in told.items()]

    def _states(self) -> dict[str, str]:
        device, building = self.device, self.building
        if device.kind == "aircon":
            on = building.now_of(building.day.switched, device.id) > 0
            asked = building.now_of(building.day.setpoint, device.id)
            return {
                "climate/ac/mode": building.day.mode if on else "off",
                "climate/ac/target_temperature": f"{asked:.1f}",
                "climate/ac/current_temperature": f"{building.temperature(device):.1f}",
            }
        if is_contact(device):
            return {"binary_sensor/window": "ON" if building.is_open(device) else "OFF"}
        if device.kind == "sensor":
            co2, humidity = building.air(device)
            seen = building.day.occupied[device.id].at(building.now)
            return {
                "sensor/temperature": f"{building.temperature(device):.1f}",
                "sensor/humidity": f"{humidity:.1f}",
                "sensor/co2": f"{co2:.0f}",
                "sensor/illuminance": f"{building.illuminance(device):.1f}",
                "binary_sensor/presence": "ON" if seen else "OFF",
            }
        meter = building.meters[device.id]
        volts, power = meter.voltage(building.now), meter.power
        states = {
            "sensor/power": f"{power:.1f}",
            "sensor/voltage": f"{volts:.1f}",
            "sensor/current": f"{power / meter.factor / volts:.3f}",
            "sensor/energy": f"{meter.energy:.3f}",
        }
        relay = building.day.switched.get(device.id)
        if relay is not None:
            states["switch/relay"] = "ON" if relay.at(building.now) else "OFF"
        return states


class Wmbus(Talker):
    """A radio meter of water or electricity behind wmbusmeters: one JSON object, with the gateway's time in UTC."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self._topic = f"wmbusmeters/{device.topic or device.id}"
        self.online = (f"{self._topic}/gateway", b"online", b"offline")

    def _say(self, now: int, due: bool) -> list[Message]:
        if not due:
            return []
        self.telemetry += 1
        stamp = datetime.fromtimestamp(self.device_time(now) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = self._electricity() if self.device.kind == "electricity" else self._water(now)
        return [Message(self._topic, to_json({**said, "name": self.device.id, "timestamp": stamp}))]

    def _water(self, now: int) -> Mapping[str, object]:
        litres = int(self.building.pulses(self.device)[0]) * (self.device.litres_per_pulse or 1.0)
        flow = float(self.building.flow(self.device, np.array([now], np.int64))[0])
        return {
            "media": "cold water", "meter": "multical21", "id": "76348799", "total_m3": round(litres / 1000, 3),
            "max_flow_m3h": round(flow * 0.06, 3), "status": "OK",
        }  # fmt: skip

    def _electricity(self) -> Mapping[str, object]:
        meter = self.building.meters[self.device.id]
        power = meter.power
        said: dict[str, object] = {
            "media": "electricity", "meter": "amiplus", "id": "10101010",
            "total_energy_consumption_kwh": round(meter.energy, 3), "total_energy_production_kwh": 0,
            "current_power_consumption_kw": round(power / 1000, 3),
        }  # fmt: skip
        for phase in range(3):
            said[f"voltage_at_phase_{phase + 1}_v"] = round(meter.voltage(self.building.now, phase), 1)
        return said


def _zigbee_sensor(building: OfficeBuilding, device: Device) -> Player:
    return ZigbeeContact(building, device) if is_contact(device) else ZigbeeSensor(building, device)


_Maker = Callable[[OfficeBuilding, Device], Player]
_ELECTRIC: Final = ("plug", "light", "electricity")
_FAMILIES: Final[tuple[tuple[str, tuple[str, ...], _Maker], ...]] = (
    ("tasmota", _ELECTRIC, TasmotaPlug),
    ("tasmota", ("water", "gas"), TasmotaCounter),
    ("shelly_gen1", _ELECTRIC, ShellyOne),
    ("shelly", _ELECTRIC, ShellyTwo),
    ("zigbee2mqtt", ("sensor",), _zigbee_sensor),
    ("zigbee2mqtt", _ELECTRIC, ZigbeePlug),
    ("esphome", (*_ELECTRIC, "sensor", "aircon"), EspHome),
    ("wmbusmeters", ("water", "electricity"), Wmbus),
)
"""Word in a profile's name, kinds, and who plays such a device."""


def players_of(building: OfficeBuilding, link: Link) -> list[Player]:
    """A player for every device of a broker. Raises ConfigError for devices that cannot be played."""
    players: list[Player] = []
    problems = []
    for device in building.site.devices:
        if device.link != link.id:
            continue
        name = device.profile or ""
        maker = next((maker for word, kinds, maker in _FAMILIES if word in name and device.kind in kinds), None)
        if maker is not None:
            players.append(maker(building, device))
        else:
            known = ", ".join(f"{word} ({', '.join(kinds)})" for word, kinds, _ in _FAMILIES)
            problems.append(
                f"device '{device.id}': {device.profile} of kind {device.kind} cannot be simulated; "
                f"MQTT devices that can: {known}"
            )
    if problems:
        raise ConfigError(*problems)
    return players


def _time(now: int, tz: tzinfo) -> str:
    return local(now, tz).strftime("%Y-%m-%dT%H:%M:%S")  # Tasmota writes no zone
