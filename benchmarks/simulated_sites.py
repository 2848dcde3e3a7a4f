"""Large sites for the benchmarks of the simulated building."""

from __future__ import annotations

from building.document import parse_document
from building.site import Site, build_site


def office_tower(zones: int, every: str = "60s") -> Site:
    """``zones`` offices with a lighting meter, an air conditioner and a motion sensor each: 15 points a zone."""
    lines = ["zones:"]
    lines += [f'  - {{id: "z{n}", floor: {n // 20}, area: 40, headcount: 4}}' for n in range(zones)]
    lines += [
        "links:",
        *(f'  - {{id: gateway-{n}, modbus: "tcp://127.0.0.1:{5020 + n}"}}' for n in range(zones // 100 + 1)),
        '  - {id: broker, mqtt: "mqtt://127.0.0.1:1883"}',
        "devices:",
        "  - {id: main, kind: electricity, circuit: main, profile: eastron_sdm630, link: gateway-0, unit: 250, "
        f"every: {every}}}",
    ]
    for n in range(zones):
        link, unit = f"gateway-{n // 100}", 1 + 2 * (n % 100)
        lines += [
            f"  - {{id: light-{n}, kind: electricity, circuit: lighting, profile: eastron_sdm120, link: {link}, "
            f'unit: {unit}, zone: "z{n}", parent: main, rated_power: 320, every: {every}}}',
            f"  - {{id: ac-{n}, kind: aircon, profile: intesis_inmbs, link: {link}, unit: {unit + 1}, "
            f'zone: "z{n}", rated_power: 1600, every: {every}}}',
            f"  - {{id: presence-{n}, kind: sensor, profile: zigbee2mqtt_sensor, link: broker, topic: presence-{n}, "
            f'zone: "z{n}", every: {every}, reports: on_change, max_age: 2h}}',
        ]
    return build_site(parse_document("\n".join(lines).encode(), "tower.yaml"))


def many_meters(count: int, every: str = "1s") -> Site:
    """``count`` single-phase meters behind gateways of a hundred each."""
    lines = ["zones:", '  - {id: "z", headcount: 20, area: 400}', "links:"]
    lines += [f'  - {{id: gateway-{n}, modbus: "tcp://127.0.0.1:{5020 + n}"}}' for n in range((count + 99) // 100)]
    lines.append("devices:")
    lines += [
        f"  - {{id: m{n}, kind: electricity, circuit: lighting, profile: eastron_sdm120, link: gateway-{n // 100}, "
        f'unit: {1 + n % 100}, zone: "z", every: {every}}}'
        for n in range(count)
    ]
    return build_site(parse_document("\n".join(lines).encode(), "meters.yaml"))
