"""What requests cost Envoy. Standard library only: the demo and the bench use it."""

import selectors
import socket
from typing import Sequence

from envoy import Envoy


class Load:
    """Keep-alive connections to one listener, each with one request under way at a time."""

    def __init__(self, port: int, path: str = "/direct", connections: int = 8):
        self.request = f"GET {path} HTTP/1.1\r\nhost: bench\r\nuser-agent: load\r\n\r\n".encode()
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        self.selector = selectors.DefaultSelector()
        for connection in self.sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(connection, selectors.EVENT_READ)

    def run(self, count: int) -> None:
        """Sends so many requests and waits for the responses, which must be small 200s."""
        sent = answered = 0
        for connection in self.sockets:
            connection.sendall(self.request)
            sent += 1
        while answered < sent:
            ready = self.selector.select(30)
            if not ready:
                raise RuntimeError(f"{sent - answered} requests are not answered")
            for key, _ in ready:
                answer = key.fileobj.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"unexpected answer: {answer[:100]!r}")
                answered += 1
                if sent < count:
                    key.fileobj.sendall(self.request)
                    sent += 1

    def close(self) -> None:
        self.selector.close()
        for connection in self.sockets:
            connection.close()


def cpu_per_request(
    envoy: Envoy, listeners: Sequence[str], count: int = 500, rounds: int = 40
) -> dict[str, float]:
    """Seconds of Envoy's CPU per request on each listener: turn by turn, best of the rounds.

    Many short rounds, because on a busy machine the best of them is what stays the same.
    """
    loads = {name: Load(envoy.ports[name]) for name in listeners}
    best: dict[str, float] = {}
    for turn in range(rounds + 1):
        for name, load in loads.items():
            before = envoy.cpu()
            load.run(count)
            cost = (envoy.cpu() - before) / count
            if turn:  # the first round warms up
                best[name] = min(cost, best.get(name, cost))
    for load in loads.values():
        load.close()
    return best
