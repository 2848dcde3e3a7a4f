"""The socket under paho: which bytes are messages, which go on to paho, and what no broker should send."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.errors import BadFrame
from collector.links.mqtt_socket import AGAIN, RETAINED, cut_packets, puback


def size_of(length: int) -> bytes:
    out = b""
    while True:
        length, digit = divmod(length, 128)
        out += bytes([digit | (0x80 if length else 0)])
        if not length:
            return out


def publish(topic: str, payload: bytes, *, qos: int = 0, number: int = 7, flags: int = 0, five: bool = False) -> bytes:
    """A PUBLISH as the specification draws it."""
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + (struct.pack(">H", number) if qos else b"")
    body += (b"\x06\x03\x00\x03abc" if five else b"") + payload  # a content type of three letters
    return bytes([0x30 | qos << 1 | flags]) + size_of(len(body)) + body


@pytest.mark.parametrize("five", [False, True])
def test_messages_are_cut_out_and_everything_else_is_left_for_paho(five: bool) -> None:
    ping, suback = b"\xd0\x00", b"\x90\x03\x00\x01\x01"
    big = b"x" * 300
    stream = suback + publish("a/b", b"1", five=five) + ping + publish("c", big, qos=1, flags=AGAIN, five=five)
    stream += publish("d", b"", flags=RETAINED, five=five) + publish("e", b"2", qos=2, five=five)
    published, others, rest, _ = cut_packets(stream + ping[:1], five=five)
    assert [(topic, payload, number) for topic, payload, number, _ in published] == [
        ("a/b", b"1", 0), ("c", big, 7), ("d", b"", 0),
    ]  # fmt: skip
    assert [flags & (RETAINED | AGAIN) for *_, flags in published] == [0, AGAIN, RETAINED]
    assert others == [suback, ping, publish("e", b"2", qos=2, five=five)]
    assert rest == ping[:1]


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans(), st.data())
def test_messages_come_out_the_same_however_the_stream_is_cut(
    payloads: list[bytes], five: bool, data: st.DataObject
) -> None:
    stream = b"".join(publish("t", payload, qos=1, number=n + 1, five=five) for n, payload in enumerate(payloads))
    found, kept = [], b""
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        more, others, kept, skip = cut_packets(kept + stream[:cut], five=five)
        found += more
        stream = stream[cut:]
        assert not others
        assert not skip
    assert [payload for _, payload, _, _ in found] == payloads
    assert [number for _, _, number, _ in found] == list(range(1, len(payloads) + 1))
    assert kept == b""


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_break_the_cutter(stream: bytes, five: bool) -> None:
    with contextlib.suppress(BadFrame):
        _, _, rest, _ = cut_packets(stream, five=five)
        assert stream.endswith(rest)


@pytest.mark.parametrize(
    "stream",
    [
        b"\x30\x03\x00\x09a",  # the topic runs over the end
        b"\x32\x03\x00\x01a",  # QoS 1 without a number
        b"\x30\x03\x00\x01\xff",  # a topic that is no text
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x90\xff\xff\xff\x7f",  # a receipt of 256 MB
    ],
)
def test_what_no_broker_may_send_is_refused(stream: bytes) -> None:
    with pytest.raises(BadFrame):
        cut_packets(stream + bytes(4), five=False)


@pytest.mark.parametrize("five", [False, True])
def test_a_message_too_long_is_passed_on_in_part_and_the_rest_of_it_is_skipped(five: bool) -> None:
    """Refused, it would end the connection, and come again with the next one, for ever."""
    mebibyte = 1 << 20
    long = publish("a", b"x" * (3 * mebibyte), qos=1, number=9, five=five)
    whole = cut_packets(publish("before", b"1", five=five) + long + publish("after", b"2", five=five), five=five)
    assert [topic for topic, *_ in whole.published] == ["before", "a", "after"]
    assert [number for _, _, number, _ in whole.published] == [0, 9, 0]
    assert mebibyte - 64 < len(whole.published[1][1]) < mebibyte
    assert (whole.rest, whole.skip) == (b"", 0)
    assert cut_packets(long[:mebibyte], five=five).published == []
    part = cut_packets(long[: 2 * mebibyte], five=five)
    assert part.published == whole.published[1:2]
    assert (part.rest, part.skip) == (b"", len(long) - 2 * mebibyte)


def test_an_acknowledgement_is_four_bytes() -> None:
    assert puback(0x1234) == b"\x40\x02\x12\x34"


@pytest.mark.parametrize(
    ("stream", "five"),
    [(b"\x30\x00", False), (b"\x30\x01\x00", False), (b"\x30\x04\x00\x01a\x80", True)],
    ids=["no topic", "half a topic's length", "half a length of properties"],
)
def test_a_message_that_ends_before_it_says_anything_is_refused(stream: bytes, five: bool) -> None:
    """Found by fuzzing, as the last bytes of a stream."""
    with pytest.raises(BadFrame):
        cut_packets(stream, five=five)
