"""Sparkplug B by its topics: who speaks, and what a death means. The payloads (protobuf) are not read. Pure.

spBv1.0/<group>/<type>/<node>[/<device>]      spBv1.0/STATE/<host>
"""

from __future__ import annotations

from typing import Final, NamedTuple

NAMESPACE: Final = "spBv1.0"
_OF_NODES: Final = ("NBIRTH", "NDEATH", "NDATA", "NCMD")
_OF_DEVICES: Final = ("DBIRTH", "DDEATH", "DDATA", "DCMD")
_STATE: Final = "STATE"


class Speaker(NamedTuple):
    """What a topic says: ``kind`` is one of NBIRTH, NDEATH, NDATA, NCMD, DBIRTH, DDEATH, DDATA, DCMD, STATE."""

    kind: str
    group: str | None = None
    node: str | None = None
    device: str | None = None
    host: str | None = None

    @property
    def silences(self) -> str | None:
        """Whose values are no longer true after this message; None for one that is no death."""
        return {"NDEATH": self.node, "DDEATH": self.device}.get(self.kind)


def read_topic(topic: str) -> Speaker | None:
    """Who speaks at ``topic``; None for one that is not of Sparkplug B."""
    match topic.split("/"):
        case [namespace, state, host] if (namespace, state) == (NAMESPACE, _STATE) and host:
            return Speaker(_STATE, host=host)
        case [namespace, group, kind, node] if namespace == NAMESPACE and kind in _OF_NODES and group and node:
            return Speaker(kind, group, node)
        case [namespace, group, kind, node, device] if namespace == NAMESPACE and kind in _OF_DEVICES and device:
            return Speaker(kind, group, node, device)
    return None
