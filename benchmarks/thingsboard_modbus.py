"""ThingsBoard gateway's own Modbus connector on the same registers; run by modbus_poll.py with a Python that has it.

    PYTHON_WITH_IT benchmarks/thingsboard_modbus.py SECONDS POINTS PORT [PORT ...]

``thingsboard-gateway`` 3.8 pins an older pymodbus, so it lives in a virtual environment of its own:

    python -m venv DIR && DIR/bin/pip install 'thingsboard-gateway==3.8.*' pymodbus==3.9.2 pyserial pyserial-asyncio

Its AsyncModbusConnector polls, converts and hands over to storage as it is; a stand-in for the gateway counts what
arrives there. One key for each point, as its configuration asks by default. Prints CPU microseconds per point.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any
from unittest.mock import MagicMock

from thingsboard_gateway.connectors.modbus.modbus_connector import AsyncModbusConnector


def slave(number: int, port: int, points: int) -> Mapping[str, Any]:
    series = [
        {"tag": f"p{at}", "type": "32float", "functionCode": 4, "objectsCount": 2, "address": 2 * at}
        for at in range(points)
    ]
    return {
        "host": "127.0.0.1", "port": port, "type": "tcp", "method": "socket", "timeout": 5, "byteOrder": "BIG",
        "wordOrder": "BIG", "retries": 0, "pollPeriod": 1000, "unitId": 1, "deviceName": f"d{number}",
        "deviceType": "meter", "attributes": [], "timeseries": series,
    }  # fmt: skip


def main() -> None:
    seconds, points, ports = float(sys.argv[1]), int(sys.argv[2]), [int(port) for port in sys.argv[3:]]
    stored = 0
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # its warnings would be counted as work

    def send_to_storage(_connector: object, _id: object, data: Any) -> int:
        nonlocal stored
        for one in data if isinstance(data, list) else [data]:
            stored += sum(len(entry.values) for entry in one.telemetry)
        return 0

    with tempfile.TemporaryDirectory() as folder:
        gateway = MagicMock()
        gateway.get_config_path.return_value = folder + "/"
        gateway.get_devices.return_value = {f"d{number}": {} for number in range(len(ports))}
        gateway.send_to_storage = send_to_storage
        slaves = [slave(number, port, points) for number, port in enumerate(ports)]
        config = {"name": "bench", "id": "bench", "logLevel": "ERROR", "master": {"slaves": slaves}}
        connector = AsyncModbusConnector(gateway, config, "modbus")
        connector.open()
        deadline = time.monotonic() + 30
        while stored < points * len(ports) and time.monotonic() < deadline:
            time.sleep(0.01)
        before, cpu = stored, time.process_time()
        time.sleep(seconds)
        print(1e6 * (time.process_time() - cpu) / max(1, stored - before), stored - before)


if __name__ == "__main__":
    main()
