"""What plugs and sensors publish: Tasmota's and Zigbee2MQTT's own topics and JSON, written from their documents.

Pure: asked at each step, a player says which messages leave its device at that moment.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from random import Random
from typing import Final, NamedTuple, Protocol

from building.errors import ConfigError
from building.site import Device, Link
from simulators.building import OfficeBuilding, Place, Sensor
from simulators.faults import Kind

_GARBAGE: Final = (b'{"Time":"', b"\xff\xfe\x00garbage", b'{"ENERGY":{"Power":NaN}}', b"")
_GONE_AFTER: Final = 45_000  # ms of silence until the broker sends the last will: one and a half keep-alives


class Message(NamedTuple):
    """One publication."""

    topic: str
    payload: bytes
    retain: bool = False


class Player(Protocol):
    """Plays one device on a broker. ``telemetry`` counts the reports of values it has sent."""

    device: Device
    telemetry: int

    def speak(self, now: int) -> list[Message]:
        """The messages of this step."""


class _Timetable:
    """Reports every ``every`` ms, at a moment of the period that differs from device to device."""

    def __init__(self, device: Device, seed: int) -> None:
        self._every = device.every
        self._offset = Random(f"{seed}/report/{device.id}").randrange(device.every)
        self._last: int | None = None

    def is_due(self, now: int) -> bool:
        number = (now - self._offset) // self._every
        due = number != self._last
        self._last = number
        return due


class _Faulty(ABC):
    """Silence, last will, garbage and frozen payloads, the same for every kind of device."""

    online: tuple[str, bytes, bytes]  # topic, payload when there, payload when gone

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        self.device = device
        self.telemetry = 0
        self._building = building
        self._timetable = _Timetable(device, building.seed)
        self._kept: dict[str, bytes] = {}
        self._announced: bool | None = None

    def speak(self, now: int) -> list[Message]:
        """The messages of this step, as the faults of the device leave them."""
        silence = self._building.fault_of(self.device.id, Kind.SILENCE)
        if silence is not None:
            return self._announce(False) if now >= silence.start + _GONE_AFTER else []
        messages = self._announce(True)
        due = self._timetable.is_due(now)
        said = self._say(now, due)
        if self._building.fault_of(self.device.id, Kind.GARBAGE) is not None:
            said = [message._replace(payload=_GARBAGE[now // 1000 % len(_GARBAGE)]) for message in said]
        elif self._building.fault_of(self.device.id, Kind.FROZEN) is not None:
            said = [message._replace(payload=self._kept.setdefault(message.topic, message.payload)) for message in said]
        else:
            self._kept.clear()
        return messages + said

    def _announce(self, there: bool) -> list[Message]:
        if there is self._announced:
            return []
        self._announced = there
        topic, present, gone = self.online
        return [Message(topic, present if there else gone, retain=True)]

    @abstractmethod
    def _say(self, now: int, due: bool) -> list[Message]:
        """What a healthy device says at this step; ``due`` when its period begins anew."""


class TasmotaPlug(_Faulty):
    """A plug with energy measurement under Tasmota's usual full topic ``%prefix%/%topic%/``."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        self.topic = device.topic or device.id
        self.online = (f"tele/{self.topic}/LWT", b"Online", b"Offline")
        self._tz = building.site.site.tz
        self._began = building.now
        self._meter = building.meters[device.id]
        self._place = building.places[device.zone or ""]
        self._was_on: bool | None = None
        self._today: tuple[object, float] = (None, 0.0)
        self._yesterday = 0.0
        self._reported = self._meter.energy

    @property
    def _on(self) -> bool:
        plug = self._building.plugs.get(self.device.id)
        return plug.on if plug is not None else self._place.lamp_on

    def _say(self, now: int, due: bool) -> list[Message]:
        messages = []
        day = local(now, self._tz).date()
        if self._today[0] != day:
            self._yesterday = self._meter.energy - self._today[1] if self._today[0] else 0.0
            self._today = (day, self._meter.energy)
        word = "ON" if self._on else "OFF"
        if self._was_on is not None and self._on is not self._was_on:
            messages.append(Message(f"stat/{self.topic}/RESULT", _json({"POWER": word})))
            messages.append(Message(f"stat/{self.topic}/POWER", word.encode()))
        self._was_on = self._on
        if due:
            self.telemetry += 1
            messages.append(Message(f"tele/{self.topic}/STATE", _json(self._state(now, word))))
            messages.append(Message(f"tele/{self.topic}/SENSOR", _json(self._sensor(now))))
        return messages

    def _state(self, now: int, word: str) -> Mapping[str, object]:
        up = (now - self._began) // 1000
        uptime = f"{up // 86400}T{up // 3600 % 24:02}:{up // 60 % 60:02}:{up % 60:02}"
        return {
            "Time": _time(now, self._tz),
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

    def _sensor(self, now: int) -> Mapping[str, object]:
        meter = self._meter
        voltage = round(meter.voltage(now))
        power = round(meter.power)
        apparent = round(meter.power / meter.factor)
        period = round((meter.energy - self._reported) * 1000)
        self._reported = meter.energy
        began = _time(self._began - 30 * 86_400_000, self._tz)
        return {
            "Time": _time(now, self._tz),
            "ENERGY": {
                "TotalStartTime": began,
                "Total": round(meter.energy, 3),
                "Yesterday": round(self._yesterday, 3),
                "Today": round(meter.energy - self._today[1], 3),
                "Period": period,
                "Power": power,
                "ApparentPower": apparent,
                "ReactivePower": round(math.sqrt(max(0, apparent**2 - power**2))),
                "Factor": round(power / apparent, 2) if apparent else 0.0,
                "Voltage": voltage,
                "Current": round(apparent / voltage, 3),
            },
        }


class ZigbeeSensor(_Faulty):
    """A battery motion sensor behind Zigbee2MQTT: speaks when occupancy changes, and once a period."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        super().__init__(building, device)
        topic = device.topic or device.id
        self.topic = f"zigbee2mqtt/{topic}"
        self.online = (f"{self.topic}/availability", b'{"state":"online"}', b'{"state":"offline"}')
        self._sensor: Sensor = building.sensors[device.id]
        self._place: Place = building.places[device.zone or ""]
        luck = Random(f"{building.seed}/battery/{device.id}")
        self._battery = luck.randint(62, 100)
        self._link = luck.randint(70, 190)
        self._was: bool | None = None

    def _say(self, now: int, due: bool) -> list[Message]:
        occupied = self._sensor.occupied
        if not due and occupied is self._was:
            return []
        self._was = occupied
        self.telemetry += 1
        return [
            Message(
                self.topic,
                _json(
                    {
                        "battery": self._battery,
                        "illuminance": round(self._place.illuminance),
                        "linkquality": self._link,
                        "occupancy": occupied,
                        "temperature": round(self._place.room.temperature, 2),
                        "voltage": 2700 + 4 * self._battery,  # mV: it runs on a battery
                    }
                ),
            )
        ]


def players_of(building: OfficeBuilding, link: Link) -> list[Player]:
    """A player for every device of a broker. Raises ConfigError for devices that cannot be played."""
    players: list[Player] = []
    problems = []
    for device in building.site.devices:
        if device.link != link.id:
            continue
        if device.profile == "tasmota_plug" and device.id in building.meters:
            players.append(TasmotaPlug(building, device))
        elif device.profile == "zigbee2mqtt_sensor" and device.id in building.sensors:
            players.append(ZigbeeSensor(building, device))
        else:
            problems.append(
                f"device '{device.id}': {device.profile} of kind {device.kind} cannot be simulated; "
                "known are tasmota_plug (plug, light), zigbee2mqtt_sensor (sensor)"
            )
    if problems:
        raise ConfigError(*problems)
    return players


def local(now: int, tz: tzinfo) -> datetime:
    """The wall clock at the site."""
    return datetime.fromtimestamp(now / 1000, UTC).astimezone(tz)


def _time(now: int, tz: tzinfo) -> str:
    return local(now, tz).strftime("%Y-%m-%dT%H:%M:%S")  # Tasmota writes no zone


def _json(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
