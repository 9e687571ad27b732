"""A way to a server that hands on everything, or in slices, or nothing at all."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Self

CHUNK = 64 * 1024
PAUSE_SECONDS = 0.001


class Proxy:
    """Listens on a port of 127.0.0.1 and hands on to another, for the time of its `with` block."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._slice = CHUNK
        self._flowing = Event()
        self._flowing.set()
        self._ended = Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._flowing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    @contextmanager
    def slicing(self, size: int) -> Iterator[None]:
        """Hand on so many bytes at a time, with a pause after each slice."""
        self._slice = size
        try:
            yield
        finally:
            self._slice = CHUNK

    def swallow(self) -> None:
        """Hand on nothing, and leave every connection open, new ones too."""
        self._flowing.clear()

    def flow(self) -> None:
        """Hand on again; connections from before are dropped, as by a router that was started anew."""
        self._cut()
        self._flowing.set()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._flowing.wait()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                continue
            self._sockets.append(server)
            for source, sink in ((client, server), (server, client)):
                Thread(target=self._hand_on, args=(source, sink), name="proxy", daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._flowing.wait()
                for start in range(0, len(data), self._slice):
                    sink.sendall(data[start : start + self._slice])
                    if self._slice < CHUNK:
                        self._ended.wait(PAUSE_SECONDS)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
