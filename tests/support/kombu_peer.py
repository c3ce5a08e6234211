#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real kombu as the other side.  usage: kombu_peer.py COMMAND URL QUEUE COUNT

publish  sends COUNT messages, numbered from 0
consume  takes COUNT messages, acknowledges them, prints "number redelivered"
hold     takes COUNT messages and dies with them
restore  puts back what is older than COUNT milliseconds, as a worker does

With the definitions of tests/interop/topology.py in KOMBU_QUEUES:
declare       declares all of them
bindings      prints how many members each set of bindings has, and which
lookup        declares, then prints the queues that tx finds for the key QUEUE
lookup-table  the same without declaring
fanout        sends COUNT messages to the exchange fx, with the key QUEUE
"""
import json
import os
import socket
import sys

from kombu import Connection, Queue

command, url, name, count = sys.argv[1:5]
count = int(count)
options = json.loads(os.environ.get("KOMBU_OPTIONS", "{}"))
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
elif command == "bindings":
    client = connection.default_channel.client
    for exchange in name.split():
        members = sorted(client.smembers(f"_kombu.binding.{exchange}"))
        print(exchange, len(members))
        print(*members, sep="\n")
elif command in ("declare", "lookup", "lookup-table", "fanout"):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../interop"))
    import kombu

    import topology

    channel = connection.default_channel
    queues = topology.queues(json.loads(os.environ["KOMBU_QUEUES"]))
    for q in queues:
        if command in ("declare", "lookup"):
            q(channel).declare()
    if command == "lookup-table":
        kombu.Exchange("tx", "topic")(channel).declare()
    if command.startswith("lookup"):
        found = channel.typeof("tx").lookup(
            channel.get_table("tx"), "tx", name, None
        )
        order = [q.name for q in queues]
        for q in sorted(found, key=order.index):
            print(q, end=" ")
        print()
    if command == "fanout":
        fx = kombu.Exchange("fx", "fanout")
        producer = connection.Producer()
        for n in range(count):
            producer.publish(
                [[n], {}, {}],
                headers={"task": "t", "id": f"f{n}"},
                exchange=fx,
                routing_key=name,
                serializer="json",
                declare=[fx],
            )
elif command == "restore":
    channel = connection.channel()
    channel.qos.restore_visible(num=1000, interval=1)
