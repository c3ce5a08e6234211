#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real kombu as the other side.  usage: kombu_peer.py COMMAND URL QUEUE COUNT

publish  sends COUNT messages, numbered from 0
consume  takes COUNT messages, acknowledges them, prints "number redelivered"
hold     takes COUNT messages and dies with them
restore  puts back what is older than COUNT milliseconds, as a worker does
"""
import os
import socket
import sys

from kombu import Connection, Queue

command, url, name, count = sys.argv[1:5]
count = int(count)
options = {}
if command == "restore":
    options["visibility_timeout"] = count / 1000
connection = Connection(url, transport_options=options)
queue = Queue(name, routing_key=name)

# What no header table of AMQP can hold.
big = {} if url.startswith("amqp") else {"big": 2**70}

if command == "publish":
    queue(connection.default_channel).declare()
    producer = connection.Producer()
    for n in range(count):
        producer.publish(
            [[n], {}, {}],
            headers={"task": "t", "id": f"k{n}", **big},
            exchange="",
            routing_key=name,
            serializer="json",
            correlation_id=f"k{n}",
        )
elif command in ("consume", "hold"):
    got = []

    def on_message(body, message):
        flag = message.headers.get("redelivered", False)
        got.append((body[0][0], flag))
        if command == "consume":
            message.ack()

    with connection.Consumer(queue, callbacks=[on_message]) as consumer:
        consumer.qos(prefetch_count=count)
        while len(got) < count:
            try:
                connection.drain_events(timeout=5)
            except socket.timeout:
                break
        for n, flag in got:
            print(n, flag, flush=True)
        if command == "hold":
            os._exit(0)
elif command == "restore":
    channel = connection.channel()
    channel.qos.restore_visible(num=1000, interval=1)
