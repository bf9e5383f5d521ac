"""`xrollout upload`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import json_option

_BITS = 8


@click.command(
    epilog=epilog(
        "xrollout upload raw_rollouts /mnt/disk/robot7", "xrollout upload raw_rollouts s3://bucket/robot7 --mbit 20"
    )
)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("url")
@click.option(
    "--mbit", type=click.FloatRange(min=0), default=0.0, help="Most megabits per second.  [default: no limit]"
)
@json_option
def upload(data: Path, url: str, mbit: float, as_json: bool) -> None:
    """Copy the closed bags of the folder DATA to URL, a folder or any fsspec URL.

    Each is verified there; one that is there already is not sent again. What fails is tried again until it succeeds;
    Ctrl-C ends it, and the next call goes on. Credentials come from the environment or fsspec's configuration files.
    """
    from rich.text import Text

    from xrollout_ros.core.clock import SystemClock
    from xrollout_ros.episodes.upload_queue import UploadQueue
    from xrollout_ros.episodes.upload_target import Bandwidth, UploadTarget, check_url
    from xrollout_ros.episodes.uploader import Uploader
    from xrollout_ros.ui import text
    from xrollout_ros.ui.progress import Bar, aside

    clock, console, stop = SystemClock(), output(), threading.Event()
    place = check_url(url)
    queue = UploadQueue(data, clock)
    target = UploadTarget(place, Bandwidth(mbit * 1e6 / _BITS, clock))
    with Bar("uploading") as bar:

        def say(line: str) -> None:
            waiting, size, done = queue.count(place)
            bar.show(done, done + waiting, f"{text.size(size)} left")
            with aside():
                console.print(Text(line), soft_wrap=True)

        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        Uploader(queue, target, say).drain(stop)
    waiting, size, done = queue.count(place)
    if as_json:
        print_json({"url": place, "uploaded": done, "left": waiting, "left_bytes": size})
        return
    left = f", {text.plural(waiting, 'bag')} ({text.size(size)}) left" if waiting else ""
    console.print(f"{text.plural(done, 'bag')} in {place}{left}", soft_wrap=True)
