# SPDX-License-Identifier: Apache-2.0
"""Queues for both languages: what Lovage reads as JSON, as kombu has it."""

from kombu import Exchange, Queue, binding
from kombu.common import Broadcast


def definitions(p, quorum=False):
    """One queue of each kind, with names that begin with p."""
    found = [
        {"name": f"{p}plain"},
        {"name": f"{p}prio", "max_priority": 10},
        {
            "name": f"{p}limits",
            "message_ttl": 60.5,
            "expires": 600,
            "max_length": 100,
            "max_length_bytes": 1000000,
        },
        {
            "name": f"{p}direct",
            "exchange": {"name": f"{p}dx", "type": "direct"},
            "routing_key": f"{p}d.key",
        },
        {
            "name": f"{p}topic",
            "exchange": {"name": f"{p}tx", "type": "topic", "delivery_mode": 1},
            "routing_key": f"{p}video.#",
        },
        {
            "name": f"{p}fan",
            "exchange": {"name": f"{p}fx", "type": "fanout", "durable": False},
        },
        {
            "name": f"{p}bound",
            "bindings": [
                {
                    "exchange": {"name": f"{p}bx", "type": "topic"},
                    "routing_key": f"{p}a.*",
                },
                {"exchange": {"name": f"{p}by"}, "routing_key": f"{p}l"},
            ],
        },
        {
            "name": f"{p}brief",
            "durable": False,
            "auto_delete": True,
            "queue_arguments": {"x-max-priority": 3, "x-mine": [1, "two", True]},
            "consumer_arguments": {"x-priority": 2},
        },
    ]
    if quorum:
        found.append(
            {
                "name": f"{p}quorum",
                "queue_arguments": {
                    "x-queue-type": "quorum",
                    "x-delivery-limit": 5,
                },
            }
        )
    return found


def exchange(d):
    return Exchange(d) if isinstance(d, str) else Exchange(**d)


def queue(d):
    d = dict(d)
    if d.pop("broadcast", False):
        return Broadcast(**d)
    if "exchange" in d:
        d["exchange"] = exchange(d["exchange"])
    if "bindings" in d:
        d["bindings"] = [
            binding(exchange(b["exchange"]), routing_key=b["routing_key"])
            for b in d["bindings"]
        ]
    return Queue(**d)


def queues(found):
    return [queue(d) for d in found]
