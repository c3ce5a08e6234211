#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A private RabbitMQ for C tests.  Prints its port, its port for TLS, the
folder of certificates, and the path of a unix socket that takes one command a
connection:

kill | start | restart | freeze | thaw    answered by "ok"
ctl WORD...                               rabbitmqctl; its output

Ends, with the server, when standard input ends.
"""
import pathlib
import socketserver
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import servers  # noqa: E402


def obey(rabbit, words):
    command = words[0]
    if command == "ctl":
        return rabbit.ctl(*words[1:])
    if command in ("kill", "restart"):
        rabbit.kill()
    if command in ("start", "restart"):
        rabbit.start()
    if command == "freeze":
        rabbit.pause()
    if command == "thaw":
        rabbit.resume()
    return "ok"


def main():
    with servers.Rabbit(tls=True) as rabbit:

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                words = self.rfile.readline().decode().split()
                try:
                    answer = obey(rabbit, words)
                except Exception as e:
                    answer = f"failed: {e}"
                self.wfile.write(answer.encode())

        path = str(rabbit.dir / "control")
        with socketserver.UnixStreamServer(path, Handler) as control:
            thread = threading.Thread(target=control.serve_forever, daemon=True)
            thread.start()
            print(rabbit.port, rabbit.tls_port, rabbit.certificates, path)
            sys.stdout.flush()
            sys.stdin.read()
            control.shutdown()


main()
