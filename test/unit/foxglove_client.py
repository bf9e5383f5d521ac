"""A small client of Foxglove's WebSocket protocol (subprotocol ``foxglove.sdk.v1``), as the app is one."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_MESSAGE, _TIME, _STATE = 1, 2, 5
PLAYING, PAUSED, BUFFERING, ENDED = range(4)


@dataclass
class Received:
    """What the server has said so far."""

    info: dict[str, Any] = field(default_factory=dict)
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: list[tuple[str, int, bytes]] = field(default_factory=list)
    """Topic, log time, data."""
    times: list[int] = field(default_factory=list)
    states: list[tuple[int, int, float, bool, str]] = field(default_factory=list)
    """Status, time, speed, did seek, request id."""

    def of(self, topic: str) -> list[tuple[int, bytes]]:
        return [(time_ns, data) for name, time_ns, data in self.messages if name == topic]


class FoxgloveClient:
    """Connects at once; ``until`` reads what comes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._buffer = b""
        self._topics: dict[int, str] = {}
        self.received = Received()
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            (
                f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Protocol: foxglove.sdk.v1\r\n\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._socket.recv(4096)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert b" 101 " in head.splitlines()[0], head
        assert b"foxglove.sdk.v1" in head, head

    def close(self) -> None:
        self._socket.close()

    def subscribe(self, *topics: str) -> None:
        wanted = []
        for topic in topics:
            number = len(self._topics) + 1
            self._topics[number] = topic
            wanted.append({"id": number, "channelId": self.received.channels[topic]["id"]})
        self._send(_TEXT, json.dumps({"op": "subscribe", "subscriptions": wanted}).encode())

    def control(self, *, play: bool, speed: float = 1.0, seek_ns: int | None = None, request: str = "r") -> None:
        name = request.encode()
        head = struct.pack("<BBfBQI", 3, 0 if play else 1, speed, seek_ns is not None, seek_ns or 0, len(name))
        self._send(_BINARY, head + name)

    def until(self, done: Callable[[Received], Any], what: str, timeout_s: float = 20.0) -> Any:
        """Read until a condition holds; gives its value."""
        deadline_s = time.monotonic() + timeout_s
        while not (value := done(self.received)):
            assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s; {self.received}"
            self._read()
        return value

    def _send(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self._socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionError("the server has closed the connection")
            self._buffer += part
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _read(self) -> None:
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._take(8))
        data, opcode = self._take(size), first & 0x0F
        if opcode == _TEXT:
            self._told(json.loads(data))
        elif opcode == _BINARY:
            self._came(data)
        elif opcode == _PING:
            self._send(_PONG, data)
        elif opcode == _CLOSE:
            raise ConnectionError("the server has closed the connection")

    def _told(self, said: dict[str, Any]) -> None:
        if said["op"] == "serverInfo":
            self.received.info = said
        elif said["op"] == "advertise":
            self.received.channels.update({channel["topic"]: channel for channel in said["channels"]})

    def _came(self, data: bytes) -> None:
        if data[0] == _MESSAGE:
            number, time_ns = struct.unpack_from("<IQ", data, 1)
            self.received.messages.append((self._topics[number], time_ns, data[13:]))
        elif data[0] == _TIME:
            self.received.times.append(struct.unpack_from("<Q", data, 1)[0])
        elif data[0] == _STATE:
            status, time_ns, speed, seek, length = struct.unpack_from("<BQfBI", data, 1)
            self.received.states.append((status, time_ns, speed, bool(seek), data[19 : 19 + length].decode()))
