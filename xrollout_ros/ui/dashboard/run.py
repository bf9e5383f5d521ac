"""`xrollout monitor --dashboard`."""

from __future__ import annotations

from rich.console import Console

from xrollout_ros.graph.acting import Acting
from xrollout_ros.graph.cameras import Cameras
from xrollout_ros.graph.monitor import observe
from xrollout_ros.graph.scene import Scene
from xrollout_ros.ui.dashboard.access import Access, Role
from xrollout_ros.ui.dashboard.live import Live
from xrollout_ros.ui.dashboard.server import HOST, Folders, check_port, serve


def run(port: int, folders: Folders, console: Console) -> None:
    """Serve the dashboard until Ctrl-C.

    Raises:
        SpecError: the port is taken.
    """
    check_port(HOST, port)
    access = Access(port)

    def ready() -> None:
        console.print(f"dashboard: {access.link(Role.ACT)}", soft_wrap=True)
        console.print(f"only to look at: {access.link(Role.READ)}", soft_wrap=True)
        console.print("Ctrl-C ends it.")

    with observe() as observer:
        node = observer.node
        serve(Live(observer.model, Acting(node), Cameras(node), Scene(node)), folders, access, ready)
