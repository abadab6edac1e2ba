"""Counts the bytes between a client and a server on this machine, in both directions."""

import socket
import threading
from contextlib import suppress


class Counter:
    """Listens on a free port of loopback, and passes everything on to another one.

    Attributes
    ----------
    port : int
    sent, received : int
        Bytes, as the client sees it.
    connections : int
    """

    def __init__(self, target: int) -> None:
        self.sent = self.received = self.connections = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no further connection."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self._target))
                for one, other, name in ((client, server, "sent"), (server, client, "received")):
                    threading.Thread(target=self._pass, args=(one, other, name), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, name: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                setattr(self, name, getattr(self, name) + len(data))
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
