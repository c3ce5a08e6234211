# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy in a process of its own: the network that a test may break.

    with Proxy(redis.port) as proxy:
        connect to proxy.port ...
        proxy.hold(); proxy.release(); proxy.reset()
"""

import selectors
import signal
import socket
import struct
import sys

from servers import PYTHON, Process, free_port, port_open

CHUNK = 65536


class Proxy(Process):
    name = "proxy"
    stop_signal = signal.SIGKILL

    def __init__(self, to_port):
        super().__init__()
        self.to_port = to_port

    def prepare(self):
        self.port = free_port()

    def command(self):
        return [PYTHON, "-B", __file__, self.port, self.to_port]

    def ready(self):
        return port_open(self.port)

    def hold(self):
        """Nothing passes in either direction, and nobody is told; connections
        can be opened, and are not answered.  SIGSTOP is all it takes."""
        self.pause()

    def release(self):
        """What was sent meanwhile arrives, as TCP's repeating makes it."""
        self.resume()

    def reset(self):
        """All connections are cut, now, with RST on both sides."""
        self.send(signal.SIGUSR1)


def reset(sock):
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    sock.close()


class Server:
    def __init__(self, port, to_port):
        self.to_port = to_port
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.peer = {}

    def accept(self):
        client, _ = self.listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self.to_port), 5)
        except OSError:
            reset(client)
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(5)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def end(self, sock, how):
        for s in (sock, self.peer.pop(sock, None)):
            if s is not None:
                self.peer.pop(s, None)
                self.selector.unregister(s)
                how(s)

    def pass_on(self, sock):
        try:
            data = sock.recv(CHUNK)
            if data:
                self.peer[sock].sendall(data)
                return
        except OSError:  # reset, or a peer that does not read for long
            self.end(sock, reset)
            return
        self.end(sock, socket.socket.close)

    def reset_all(self, *_):
        while self.peer:
            self.end(next(iter(self.peer)), reset)

    def run(self):
        signal.signal(signal.SIGUSR1, lambda *_: None)
        wake, wakened = socket.socketpair()
        for s in (wake, wakened):
            s.setblocking(False)
        signal.set_wakeup_fd(wakened.fileno())
        self.selector.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is wake:
                    wake.recv(CHUNK)
                    self.reset_all()
                elif key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.peer:
                    self.pass_on(key.fileobj)


if __name__ == "__main__":
    Server(int(sys.argv[1]), int(sys.argv[2])).run()
