"""A producer to be killed: it says on standard output, at once, what the broker has acknowledged.

Arrives: the settings, and a topic. Leaves: a line `partition offset number` for each message, as long as it lives.
"""

import itertools
import os
import sys
import time
from functools import partial
from typing import Any

from stream.config import StreamConfig
from stream.kafka.producer import EventProducer


def told(number: int, metadata: Any) -> None:
    os.write(1, f"{metadata.partition} {metadata.offset} {number}\n".encode())


def main(topic: str) -> None:
    producer = EventProducer(StreamConfig())
    for number in itertools.count():
        text = str(number).encode()
        producer.send_raw(topic, text, key=text).add_callback(partial(told, number))
        time.sleep(0.0005)


if __name__ == "__main__":
    main(sys.argv[1])
