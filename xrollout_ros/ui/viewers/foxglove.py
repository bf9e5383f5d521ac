"""Serves a bag to Foxglove: its messages as they were recorded, from a moment on, with the app's playback controls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import foxglove
from foxglove import Context, Schema
from foxglove.websocket import (
    Capability,
    ChannelView,
    Client,
    PlaybackCommand,
    PlaybackControlRequest,
    PlaybackState,
    PlaybackStatus,
    ServerListener,
)

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.player import Phase, Player, Step
from xrollout_ros.episodes.raw_bag import RawMessage, RawTopic

HOST = "127.0.0.1"
PORT = 8765
"""Where the app looks first."""
_TURN_S = 1 / 60
_STATUS = {
    Phase.PLAYING: PlaybackStatus.Playing,
    Phase.PAUSED: PlaybackStatus.Paused,
    Phase.ENDED: PlaybackStatus.Ended,
}


class FoxgloveServer(ServerListener):
    """A bag on a WebSocket of this machine.

    Playing begins when the first client subscribes. A client that comes later is sent what was last said of each topic
    that it subscribes. The app may pause, seek and change the speed; one that cannot watches the span again and again.

    Args:
        player: plays the bag.
        topics: what is offered.
        time_range_ns: first and last log time.
        name: shown in the app.
        port: 0: any free one.

    Raises:
        DataError: the port is taken.
    """

    def __init__(
        self, player: Player, topics: tuple[RawTopic, ...], time_range_ns: tuple[int, int], name: str, port: int = PORT
    ) -> None:
        self._player = player
        self._lock = threading.Lock()
        self._subscribed: list[str] = []
        self._started = False
        self._stop = threading.Event()
        self._context = context = Context()  # of its own: a bag that is being written meanwhile must get none of it
        self._channels = {
            topic: context._create_channel(
                topic.name,
                message_encoding=topic.message_encoding,
                schema=Schema(name=topic.type_name, encoding=topic.schema_encoding, data=topic.schema),
                metadata={},
            )
            for topic in topics
        }
        foxglove.set_log_level("CRITICAL")  # it tells each client that goes as an error
        try:
            self._server = foxglove.start_server(
                name=name,
                host=HOST,
                port=port,
                capabilities=[Capability.PlaybackControl, Capability.Time],
                server_listener=self,
                supported_encodings=["cdr", "json"],
                context=context,
                playback_time_range=time_range_ns,
            )
        except RuntimeError as error:
            raise DataError(
                f"port {port} of {HOST} cannot be served ({error})",
                "Something else uses it, maybe another `episodes open`: end that, or give another one with --port "
                "(0: any free one).",
            ) from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    @property
    def address(self) -> str:
        """What to give to "Open connection" in the app."""
        return f"ws://{HOST}:{self.port}"

    @property
    def desktop_link(self) -> str:
        """Opens the desktop app."""
        return f"foxglove://open?ds=foxglove-websocket&ds.url={self.address}"

    @property
    def web_link(self) -> str:
        """Opens the app in a browser, as the SDK writes it."""
        return self._server.app_url() or ""

    def run(self, ended: Callable[[], bool] = lambda: False) -> None:
        """Play until :meth:`stop`.

        Args:
            ended: asked in every turn; it ends too when this says so.

        Raises:
            BagError: the bag is damaged.
        """
        told: tuple[int, Phase] | None = None
        while not (self._stop.is_set() or ended()):
            time.sleep(_TURN_S)
            with self._lock:  # also while sending: what is due now must not be sent after the app has gone elsewhere
                step, late = self._turn()
                position_ns, phase = self._player.position_ns, self._player.phase
                if step.jumped or late:
                    # After a jump the app clears its panels: the time may lie before what it has.
                    self._server.broadcast_playback_state(self._state(step.jumped))
                if step.jumped or late or (self._started and told != (position_ns, phase)):
                    self._server.broadcast_time(position_ns)
                for message in (*late, *step.messages):
                    self._channels[message.topic].log(message.data, log_time=message.log_time_ns)
                if told is not None and phase is not told[1]:
                    self._server.broadcast_playback_state(self._state(False))
            told = position_ns, phase

    def _turn(self) -> tuple[Step, list[RawMessage]]:
        """What is due, and what somebody is told who has just subscribed; the lock is held."""
        subscribed, self._subscribed = self._subscribed, []
        if not self._started and not subscribed:
            return Step([], False), []
        if not self._started:
            self._started = True
            self._player.play()
            return self._player.step(), []  # it begins with what was last said of every topic
        late = [message for topic in subscribed for message in self._player.latest(topic)]
        return self._player.step(), late

    def stop(self) -> None:
        """End :meth:`run`, and the connections."""
        self._stop.set()
        self._server.stop()

    def _state(self, jumped: bool, request_id: str | None = None) -> PlaybackState:
        return PlaybackState(
            status=_STATUS[self._player.phase],
            current_time=self._player.position_ns,
            playback_speed=self._player.speed,
            did_seek=jumped,
            request_id=request_id,
        )

    def on_subscribe(self, client: Client, channel: ChannelView) -> None:
        """The SDK's thread says that somebody wants a topic."""
        with self._lock:
            self._subscribed.append(channel.topic)

    def on_playback_control_request(self, playback_control_request: PlaybackControlRequest) -> PlaybackState:
        """The SDK's thread says what the app asks for."""
        asked = playback_control_request
        with self._lock:
            self._started = True
            self._player.control(
                playing=asked.playback_command == PlaybackCommand.Play,
                speed=asked.playback_speed,
                seek_ns=asked.seek_time,
            )
            return self._state(asked.seek_time is not None, asked.request_id)
