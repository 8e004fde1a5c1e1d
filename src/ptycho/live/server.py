"""The page that shows a run while it works. It can be looked at, and nothing else."""

import importlib.resources
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from ptycho.base.errors import ConfigError, extra_missing
from ptycho.base.watching import NOBODY, Watcher
from ptycho.live.address import ADDRESS, host_and_port
from ptycho.live.board import Board

logger = logging.getLogger(__name__)

CLOSING = 1.0  # s that the end of a run waits for viewers to hear of it, at most
SILENT = 5.0  # s after which a viewer that says nothing is given up
GUARDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def live_page(address: str | None, title: str) -> Iterator[Watcher]:
    """Yield what the run tells, and serve a page of it while the block lasts; nothing is served without an address.

    Parameters
    ----------
    address
        HOST:PORT; port 0 for a free one. `ADDRESS` itself gives way to a free port where another run has it.
    title
        What is worked on, in words.

    Raises
    ------
    ConfigError
        The address can't be listened at.
    BackendNotInstalledError
        matplotlib, which draws the pictures, is not installed.
    """
    if address is None:
        yield NOBODY
        return
    try:
        import matplotlib.image  # noqa: F401
    except ModuleNotFoundError as error:
        raise extra_missing("matplotlib", "report") from error
    board = Board(title)
    server = _listen(address, board)
    threading.Thread(target=server.serve_forever, args=(0.1,), name="live page", daemon=True).start()
    logger.info("watch this run at %s", server.url)
    outcome = "failed"
    try:
        yield board
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        board.end(outcome)
        server.leave()


def _listen(address: str, board: Board) -> "_Server":
    host, port = host_and_port(address)
    try:
        try:
            server = _Server(host, port, board)
        except OSError:
            if address != ADDRESS:
                raise
            server = _Server(host, 0, board)
    except OSError as error:
        raise ConfigError(
            f"--live can't listen at {address}: {error.strerror or error}; expected an address of this machine with a "
            "free port; choose another, or port 0 for any"
        ) from error
    if not server.private:
        logger.warning("--live %s: anybody who reaches this address can look at the run (and do nothing else)", address)
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, board: Board) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.board = board
        self.names = {"localhost", host.lower(), socket.gethostname().lower()}
        page = importlib.resources.files("ptycho.live")
        style = importlib.resources.files("ptycho.report.html") / "assets" / "page.css"
        self.files = {
            "/": ("text/html", (page / "live.html").read_bytes()),
            "/live.js": ("text/javascript", (page / "live.js").read_bytes()),
            "/live.css": ("text/css", (page / "live.css").read_bytes()),
            "/style.css": ("text/css", style.read_bytes()),
        }
        self._viewers: set[socket.socket] = set()
        self._change = threading.Condition()
        super().__init__((host, port), _Answer)

    def server_bind(self) -> None:
        """Listen without asking the network for this machine's name, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    @property
    def private(self) -> bool:
        """Whether only this machine can look."""
        return ip_address(self.server_name).is_loopback

    @property
    def url(self) -> str:
        """The page's address."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}/"

    def knows(self, host: str | None) -> bool:
        """Return whether a browser that asks for ``host`` means this machine, and was not sent by a name that lies.

        A foreign page can point its own name here (DNS rebinding); it can't do that with a bare address.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or bool(ip_address(name))
        except ValueError:
            return False

    def content(self, target: str) -> tuple[str, bytes] | None:
        """Return type and bytes of what an address names; the addresses are a fixed list, no path reaches the disk."""
        path, _, query = target.partition("?")
        if path in self.files:
            return self.files[path]
        if path == "/state.json":
            if query == "wait":
                self.board.wait()
            return "application/json", json.dumps(self.board.state(), allow_nan=False).encode()
        png = self.board.png(path.removeprefix("/").removesuffix(".png")) if path.endswith(".png") else None
        return None if png is None else ("image/png", png)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one viewer, and remember while that lasts."""
        with self._change:
            self._viewers.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._change:
                self._viewers.discard(request)
                self._change.notify_all()

    def leave(self) -> None:
        """Let viewers hear the last word, then free the port."""
        self.shutdown()
        self.server_close()
        with self._change:
            self._change.wait_for(lambda: not self._viewers, CLOSING)
            for viewer in self._viewers:
                with suppress(OSError):
                    viewer.shutdown(socket.SHUT_RDWR)
            self._change.wait_for(lambda: not self._viewers, CLOSING)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note that a viewer left in the middle of an answer."""
        logger.debug("a viewer left", exc_info=True)


class _Answer(BaseHTTPRequestHandler):
    server: _Server
    timeout = SILENT

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if not self.server.knows(self.headers["Host"]):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this machine has another name\n", with_body)
            return
        content = self.server.content(self.path)
        if content is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n", with_body)
        else:
            self._send(HTTPStatus.OK, *content, with_body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, with_body: bool) -> None:
        self.send_response(status)
        charset = "; charset=utf-8" if kind != "image/png" else ""
        for name, value in {"Content-Type": kind + charset, "Content-Length": str(len(body)), **GUARDS}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        """Say what this is and not which version of what."""
        return "ptycho"

    def log_message(self, format: str, *args: Any) -> None:
        """Keep requests out of the user's log."""
        logger.debug(format, *args)
