# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# alone
"""What hangs is ended within half a minute; what was only stopped with all the
rest is not.  It takes long: all of it happens at the same time."""

import collections
import concurrent.futures
import os
import re
import signal
import socket
import threading
import time

import pytest
import redis.exceptions
from celery import Celery
from fleet import TASK, Ledger, fleet
from servers import Redis, wait_for

LIMIT = 30  # seconds: worker/tick.c, worker/supervisor.c


class Mute:
    """A Redis that no longer answers when messages are fetched: a proxy.  What
    fetches is the script that is run every second while nothing else is done."""

    def __init__(self, port):
        self.port, self.muted = port, None
        self.scripts = collections.Counter()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=self.copy, args=pair, daemon=True
                ).start()

    def copy(self, source, to, asks):
        try:
            while data := source.recv(65536):
                found = re.findall(rb"EVALSHA\r\n\$40\r\n(\w{40})", data)
                self.scripts.update(found if asks else ())
                if not (asks and self.muted in found):
                    to.sendall(data)
        except OSError:
            pass
        for s in (source, to):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def works(r, ledger, number):
    """One more task is done."""
    Celery(broker=r.url).send_task(TASK, (number, 0, str(ledger.path)))
    wait_for(lambda: number in ledger.counts(), 20, "a task done")


def tree(worker):
    return [worker.pid, *worker.children()]


def a_node_hangs(folder):
    ledger = Ledger(folder)
    with Redis() as r, fleet(r.url) as worker:
        works(r, ledger, 1)
        node = worker.nodes()[0]
        begin = time.monotonic()
        os.kill(node, signal.SIGSTOP)
        wait_for(lambda: node not in worker.nodes(), LIMIT + 10, "its end")
        assert time.monotonic() - begin > LIMIT - 2
        assert "a node's loop hangs: it is killed" in worker.fresh()
        works(r, ledger, 2)


def all_is_stopped(folder):
    ledger = Ledger(folder)
    with Redis() as r, fleet(r.url) as worker:
        works(r, ledger, 1)
        nodes, all_of_it = worker.nodes(), tree(worker)
        for pid in all_of_it:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(LIMIT + 3)
        # The supervisor first: it must not judge by what it has slept through.
        for pid in all_of_it:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.2)
        works(r, ledger, 2)
        assert worker.nodes() == nodes


def no_fetch_is_answered(folder):
    ledger = Ledger(folder)
    with Redis() as r:
        mute = Mute(r.port)
        with fleet(mute.url, backend=r.url) as worker:
            works(r, ledger, 1)
            node = worker.nodes()[0]
            mute.scripts.clear()
            time.sleep(5)
            mute.muted = mute.scripts.most_common(1)[0][0]
            wait_for(lambda: node not in worker.nodes(), LIMIT + 30, "its end")
            assert "no fetch was answered: the node ends" in worker.fresh()
            mute.muted = None
            works(r, ledger, 2)


def keep_busy(client):
    try:
        client.eval("while true do end", 0)
    except redis.exceptions.ResponseError:
        pass  # it is killed


def a_fetch_is_answered_with_an_error(folder):
    """Redis runs somebody's script, and says so (BUSY): it is there."""
    ledger = Ledger(folder)
    with Redis() as r, fleet(r.url, late=False) as worker:
        works(r, ledger, 1)
        nodes = worker.nodes()
        busy = threading.Thread(target=keep_busy, args=(r.client(),))
        r.client().config_set("busy-reply-threshold", 100)
        busy.start()
        time.sleep(LIMIT + 5)
        r.client().script_kill()
        busy.join()
        works(r, ledger, 2)
        assert worker.nodes() == nodes


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    all_of_them = (
        a_node_hangs,
        all_is_stopped,
        no_fetch_is_answered,
        a_fetch_is_answered_with_an_error,
    )
    with concurrent.futures.ThreadPoolExecutor(len(all_of_them)) as threads:
        yield {
            story: threads.submit(story, tmp_path_factory.mktemp("story"))
            for story in all_of_them
        }


def test_a_node_that_hangs_is_replaced(stories):
    stories[a_node_hangs].result()


def test_nodes_that_were_stopped_with_their_supervisor_live_on(stories):
    stories[all_is_stopped].result()


def test_a_node_whose_broker_answers_no_fetch_is_replaced(stories):
    stories[no_fetch_is_answered].result()


def test_a_node_whose_broker_answers_with_errors_lives_on(stories):
    stories[a_fetch_is_answered_with_an_error].result()
