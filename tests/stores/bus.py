# SPDX-License-Identifier: Apache-2.0
"""A message bus seen by a client of its own.

What waits in a queue, what a stranger leaves there, what a declaration made.
"""

from urllib.parse import urlsplit

import amqp

QUEUE = "profiler.info"
EXCHANGE = "openstack"


class Bus:
    """The bus at a transport URL, empty of traces, for as long as the `with` block lasts."""

    def __init__(self, url: str):
        """Take the address out of the URL."""
        self.url = url
        parts = urlsplit(url)
        self.connection = amqp.Connection(
            host=f"{parts.hostname}:{parts.port}", userid=parts.username, password=parts.password, virtual_host="/"
        )

    def __enter__(self) -> "Bus":
        """Connect, and remove what earlier traces left."""
        self.connection.connect()
        self.clear()
        return self

    def __exit__(self, *_) -> None:
        """Hang up."""
        self.connection.close()

    def clear(self) -> None:
        """Remove the queue of traces and its exchange."""
        with self.connection.channel() as channel:
            channel.queue_delete(QUEUE)
            channel.exchange_delete(EXCHANGE)

    def depth(self) -> int:
        """Return how many messages wait."""
        with self.connection.channel() as channel:
            return channel.queue_declare(QUEUE, passive=True).message_count

    def messages(self) -> list[amqp.Message]:
        """Return the messages that wait, and leave them there."""
        found = []
        # They are put back when the channel is closed.
        with self.connection.channel() as channel:
            while (message := channel.basic_get(QUEUE)) is not None:
                found.append(message)
        return found

    def publish(self, body: str | bytes, queue: str = QUEUE, **properties: str) -> None:
        """Leave a message in a queue."""
        with self.connection.channel() as channel:
            channel.basic_publish(amqp.Message(body, **properties), routing_key=queue)

    def kind(self) -> tuple[bool, bool]:
        """Return whether the queue is durable, and whether it is a quorum queue, by declaring it so."""
        for durable, arguments in ((False, None), (True, None), (True, {"x-queue-type": "quorum"})):
            channel = self.connection.channel()
            try:
                channel.queue_declare(QUEUE, durable=durable, auto_delete=False, arguments=arguments)
            except amqp.PreconditionFailed:
                continue
            channel.close()
            return durable, arguments is not None
        raise AssertionError("the queue is of no kind")
