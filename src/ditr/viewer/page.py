"""The page: a server on this machine, its panel, and what happens when something in it is used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.pictures.render import point_spacing
from ditr.viewer.camera import first_camera, fly
from ditr.viewer.guard import Guard, guarding, require_guarded
from ditr.viewer.layers import Layer, layer_makers
from ditr.viewer.legend import Legend
from ditr.viewer.look import BrowserCloud, Look
from ditr.viewer.octree import flat_octree, kept_octree
from ditr.viewer.photographs import Photographs, Seen, plane_of, quaternion_of
from ditr.viewer.picking import picked
from ditr.viewer.subject import Subject
from ditr.viewer.tools import Clip, Distance

__all__ = ["BUDGET", "Browser", "Page"]

BUDGET = 1_000_000
"""Points that one browser draws at most."""
_SCALE = 1.2


@dataclass(eq=False)
class Browser:
    """One browser that shows the page.

    Attributes:
        client: viser's handle.
        cloud: the points in it.
        seen: the photograph that is looked at; None while it is the cloud.
        picture: viser's handle of it.
        before: camera to go back to: position, what it looks at, up, field of view.
    """

    client: Any
    cloud: BrowserCloud
    seen: Seen | None = None
    picture: Any = None
    before: tuple[Any, Any, Any, float] | None = None


class Page:
    """What is shown of a subject, to any number of browsers.

    Callbacks of viser run in threads; one lock stands around everything that they change.

    Args:
        subject: what is shown.
        port: of the server, or the next that is free.
        budget: most points that one browser draws.
        cache: folder of octrees; None to keep none.

    Attributes:
        lock: see above.
        guard: of the door.
        layers: ways to colour, by name; made when they are first asked for.
        on_point: what a click on a point does, by those who take clicks: told the browser, the point and what else
            it needs; the first that returns True has taken it.
    """

    def __init__(self, subject: Subject, *, port: int, budget: int = BUDGET, cache: Path | None = None) -> None:
        self.subject, self.lock, self.guard = subject, threading.RLock(), Guard()
        scene = subject.scene
        self.origin = np.round(np.median(scene.coord[:: 1 + len(scene) // 100_000], axis=0), 3)
        coord = (scene.coord - self.origin).astype(np.float32)
        whole = len(coord) <= budget
        tree = flat_octree(coord, point_spacing(scene.coord)) if whole else kept_octree(coord, cache)
        everything = np.ones(len(coord), np.bool_)
        self.look = Look(coord, tree, _SCALE, budget, np.zeros((len(coord), 3), np.uint8), everything)
        self.layers: dict[str, Callable[[], Layer]] = layer_makers(subject)
        self.made: dict[str, Layer] = {}
        self.photographs = Photographs(scene, self.origin)
        self.camera = first_camera(scene, self.origin)
        self.browsers: dict[int, Browser] = {}
        self.on_point: list[Callable[[Browser, int], bool]] = []
        self._frustum_clicked = 0.0
        self.server = self._started(port)
        try:
            self._fill()
        except BaseException:
            self.stop()
            raise

    def _started(self, port: int) -> Any:
        import viser

        with guarding(self.guard), _quiet():
            server = viser.ViserServer(host="127.0.0.1", port=port, label=None, verbose=False)
        try:
            require_guarded(self.guard, server.get_port())
            # viser can show a page to the whole world through a server of its makers; not this one.
            for name in ("ShareUrlRequest", "ShareUrlDisconnect"):
                server._websock_server.unregister_handler(getattr(viser._messages, name))
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def address(self) -> str:
        """What is opened in a browser on this machine."""
        return self.guard.address(self.server.get_port())

    def stop(self) -> None:
        """End the server."""
        with _quiet():
            self.server.stop()

    # ---- what is there ----------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        server, first = self.server, self.camera
        gui = server.gui
        gui.configure_theme(
            control_width="medium", dark_mode=False, show_logo=False, show_share_button=False, brand_color=(38, 92, 122)
        )
        gui.main_panel.dock_right()
        gui.set_panel_label(self.subject.scene.name)
        server.scene.set_up_direction(first.up)
        server.scene.world_axes.visible = False
        camera = server.initial_camera
        camera.position, camera.look_at, camera.up, camera.fov = first.position, first.look_at, first.up, first.field
        self._panel(gui)
        with self.lock:
            self._change_layer()
        server.on_client_connect(self._connected)
        server.on_client_disconnect(self._disconnected)
        server.scene.on_click()(self._clicked)
        if self.photographs.views:
            threading.Thread(target=self._add_thumbnails, daemon=True).start()

    def _panel(self, gui: Any) -> None:
        scene = self.subject.scene
        self.tabs = gui.add_tab_group()
        with self.tabs.add_tab("Look"):
            views = f", {len(scene.views):,} photographs" if scene.views else ""
            gui.add_html(f'<div style="{_SMALL}">{len(scene):,} points{views}</div>')
            names = tuple(self.layers)
            start = next((name for name in ("label", "true label", "colour") if name in names), names[0])
            self.color_by = gui.add_dropdown("Colour by", names, initial_value=start)
            self.note = gui.add_html("")
            self.size = gui.add_slider("Point size", min=0.4, max=4.0, step=0.1, initial_value=1.0)
            self.open = None
            if self.camera.open is not None:
                self.open = gui.add_checkbox("See inside", True, hint="Cut away the ceiling and the near walls")
            self.legend = Legend(gui, self.repaint)
        self.color_by.on_update(lambda _: self.locked(self._change_layer))
        self.size.on_update(lambda _: self.locked(self._resize))
        if self.open is not None:
            self.open.on_update(lambda _: self.locked(self.repaint))
        if self.photographs.views:
            with self.tabs.add_tab("Photographs"):
                self._photograph_panel(gui)
        with self.tabs.add_tab("Tools"):
            self.clip = Clip(gui, self.look.coord, lambda: self.locked(self.repaint))
            self.distance = Distance(gui, self.server.scene)
            self.on_point.append(lambda browser, point: self.distance.take(self.look.coord[point]))
            back = gui.add_button("First view", hint="Bring the camera back to where it was at first")
            back.on_click(lambda event: self._go_back(event.client))

    def _photograph_panel(self, gui: Any) -> None:
        views = self.photographs.views
        self.frusta_shown = gui.add_checkbox("Show cameras", True)
        self.which = gui.add_dropdown("Photograph", tuple(view.name for view in views))
        go = gui.add_button("Look through it")
        self.opacity = gui.add_slider("Labels over it", min=0.0, max=1.0, step=0.05, initial_value=0.45)
        leave = gui.add_button("Back to the cloud")
        self.frusta = self.photographs.add_frusta(self.server.scene, self._frustum)
        self.frusta_shown.on_update(lambda _: self._show_frusta())
        go.on_click(lambda event: self.enter(event.client, self.which.value))
        leave.on_click(lambda event: self.leave(event.client))
        self.opacity.on_update(lambda _: self.locked(self._repaint_pictures))

    def locked(self, work: Callable[[], None]) -> None:
        """Do something that changes what all share, and nothing else meanwhile."""
        with self.lock:
            work()

    def _add_thumbnails(self) -> None:
        for view, handle in self.frusta:
            image = self.photographs.thumbnail(view)
            with suppress(Exception):  # the server has stopped meanwhile
                if image is not None:
                    handle.image = image

    # ---- colours ----------------------------------------------------------------------------------------------------

    def layer(self) -> Layer:
        """The one that is chosen."""
        return self.layer_of(self.color_by.value)

    def layer_of(self, name: str) -> Layer:
        """A layer by its name, made now if it is needed."""
        if name not in self.made:
            self.made[name] = self.layers[name]()
        return self.made[name]

    def _legend_layer(self) -> Layer | None:
        """Whose classes the legend shows: the chosen layer's, or those of the labels."""
        chosen = self.layer()
        if chosen.group is not None:
            return chosen
        name = next((name for name in ("clicks", "label", "true label") if name in self.layers), None)
        return None if name is None else self.layer_of(name)

    def _change_layer(self) -> None:
        layer = self.layer()
        self.note.content = f'<div style="{_SMALL}">{layer.note}</div>' if layer.note else ""
        self.legend.of(self._legend_layer())
        self.repaint()

    def repaint(self) -> None:
        """Colours and hidden points anew, in all browsers."""
        with self.lock:
            look, layer = self.look, self.layer()
            if layer.group is not None:
                look.colors = self.legend.colors_of(layer)[layer.group]
            else:
                assert layer.colors is not None
                look.colors = layer.colors
            shown = np.ones(len(look.coord), np.bool_)
            open_groups, classes = self.legend.shown(), self._legend_layer()
            if open_groups is not None and classes is not None and classes.group is not None:
                shown &= open_groups[classes.group]
            if self.open is not None and self.open.value:
                assert self.camera.open is not None
                shown &= self.camera.open
            if (inside := self.clip.inside()) is not None:
                shown &= inside
            look.version += 1
            if not np.array_equal(shown, look.shown):
                look.shown, look.shown_version = shown, look.shown_version + 1
            for browser in list(self.browsers.values()):
                browser.cloud.refresh()
            self._repaint_pictures()

    def _resize(self) -> None:
        self.look.scale = _SCALE * float(self.size.value)
        for browser in list(self.browsers.values()):
            browser.cloud.refresh()

    # ---- browsers ---------------------------------------------------------------------------------------------------

    def _connected(self, client: Any) -> None:
        browser = Browser(client, BrowserCloud(client, self.look))
        with self.lock:
            self.browsers[client.client_id] = browser
        client.camera.on_update(lambda _: browser.cloud.refresh())
        browser.cloud.refresh()

    def _disconnected(self, client: Any) -> None:
        with self.lock:
            self.browsers.pop(client.client_id, None)

    def say(self, client: Any, title: str, body: str = "", *, fault: bool = False) -> None:
        """Tell one browser something."""
        client.add_notification(title, body, auto_close_seconds=8.0, color="red" if fault else None)

    def _clicked(self, event: Any) -> None:
        time.sleep(0.03)  # a click on a frustum comes as both; that of the frustum goes first
        if time.monotonic() - self._frustum_clicked < 0.3:
            return
        with self.lock:
            browser = self.browsers.get(event.client_id)
            if browser is None:
                return
            point = self._point_at(browser, np.asarray(event.ray_origin), np.asarray(event.ray_direction))
            if point is None:
                return
            try:
                for take in self.on_point:
                    if take(browser, point):
                        return
            except InputError as error:
                self.say(event.client, "That cannot be done", str(error), fault=True)

    def _point_at(self, browser: Browser, origin: NDArray[np.float64], direction: NDArray[np.float64]) -> int | None:
        if browser.seen is not None:
            pixel = self.pixel_at(browser, origin, direction)
            if pixel is None:
                return None
            point = int(browser.seen.point[pixel[1], pixel[0]])
            return point if point >= 0 else None
        rows = browser.cloud.rows()
        size = self.look.scale * float(np.median(self.look.octree.size))
        row = picked(self.look.coord[rows], origin, direction, size)
        return None if row is None else int(rows[row])

    def pixel_at(
        self, browser: Browser, origin: NDArray[np.float64], direction: NDArray[np.float64]
    ) -> tuple[int, int] | None:
        """The column and row of the photograph that is looked at, where a ray hits it; None beside it."""
        assert browser.seen is not None
        view, (rows, columns) = browser.seen.view, browser.seen.point.shape
        turn = view.camera_to_world[:3, :3]
        width, height, middle = plane_of(view, self.origin, self._away())
        ahead = float(direction @ turn[:, 2])
        if ahead <= 1e-9:
            return None
        hit = origin + direction * (float((middle - origin) @ turn[:, 2]) / ahead) - middle
        u, v = float(hit @ turn[:, 0]) / width + 0.5, float(hit @ turn[:, 1]) / height + 0.5
        inside = 0 <= u < 1 and 0 <= v < 1
        return (int(u * columns), int(v * rows)) if inside else None

    # ---- photographs ------------------------------------------------------------------------------------------------

    def _away(self) -> float:
        """Metres before its camera at which a photograph hangs."""
        return 0.02 * float(np.linalg.norm(np.ptp(self.look.coord, axis=0)))

    def _frustum(self, name: str, client: Any) -> None:
        self._frustum_clicked = time.monotonic()
        self.which.value = name
        self.enter(client, name)

    def enter(self, client: Any, name: str) -> None:
        """Fly to where a photograph was taken, and look through it."""
        with self.lock:
            browser = self.browsers.get(client.client_id)
            if browser is None:
                return
            try:
                seen = self.photographs.seen(name)
            except InputError as error:
                self.say(client, "This photograph cannot be shown", str(error), fault=True)
                return
            camera = client.camera
            if browser.before is None:
                browser.before = (camera.position, camera.look_at, camera.up_direction, camera.fov)
        view = seen.view
        turn = view.camera_to_world[:3, :3]
        width, height, middle = plane_of(view, self.origin, self._away())
        center = view.center - self.origin
        aspect = float(camera.aspect) if camera.image_height else width / height
        # The whole photograph, whatever shape the window has.
        field = 2 * np.arctan(max(height, width / aspect) / 2 / self._away() * 1.04)
        fly(client, center, middle, -turn[:, 1], float(field))
        with self.lock:
            browser.seen = seen
            self._show_picture(browser)
            browser.cloud.hide(True)
            self._show_frusta(client)

    def leave(self, client: Any) -> None:
        """Back to the cloud."""
        with self.lock:
            browser = self.browsers.get(client.client_id)
            if browser is None or browser.seen is None:
                return
            browser.seen = None
            browser.picture.remove()
            browser.picture = None
            browser.cloud.hide(False)
            self._show_frusta(client)
            before, browser.before = browser.before, None
        assert before is not None
        fly(client, *before)

    def _show_picture(self, browser: Browser) -> None:
        seen = browser.seen
        if seen is None:
            return
        image = seen.with_colors(self.look.colors, self.look.shown, float(self.opacity.value))
        if browser.picture is not None:
            browser.picture.remove()
        width, height, middle = plane_of(seen.view, self.origin, self._away())
        browser.picture = browser.client.scene.add_image(
            "/photograph",
            image,
            width,
            height,
            format="jpeg",
            jpeg_quality=88,
            wxyz=quaternion_of(seen.view.camera_to_world[:3, :3]),
            position=middle,
        )

    def _repaint_pictures(self) -> None:
        for browser in list(self.browsers.values()):
            self._show_picture(browser)

    def _show_frusta(self, _: Any = None) -> None:
        looking = any(browser.seen is not None for browser in self.browsers.values())
        with self.server.atomic():
            for _, handle in self.frusta:
                handle.visible = bool(self.frusta_shown.value) and not looking

    def _go_back(self, client: Any) -> None:
        self.leave(client)
        first = self.camera
        fly(client, first.position, first.look_at, first.up, first.field)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what viser prints: an address without the token, and that it has stopped."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


_SMALL = "padding:0 0.8em 0.5em;font-size:0.85em;opacity:0.75"
