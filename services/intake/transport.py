"""The transport that INTAKE_TRANSPORT names: the only place where one is chosen."""

import os
import socket
from threading import Event

from models.errors import ConfigError
from models.settings import Settings
from services.intake.messages import Membership, MessageBrowser, MessagePublisher, MessageSource


def make_source(settings: Settings, topic: str, group: str, stop: Event) -> MessageSource:
    """Return the messages of a topic for one consumer of a group; it connects when it is polled.

    Raises ConfigError when what Kafka needs is not installed.
    """
    membership = Membership(topic, group, settings.intake_consumer or _own_name())
    if settings.intake_transport == "redis":
        from services.intake.redis_source import RedisSource  # noqa: PLC0415 — only one of the two is loaded

        return RedisSource(settings.redis_url, membership, stop)
    try:
        from services.intake.kafka_config import common  # noqa: PLC0415 — confluent-kafka is an extra
        from services.intake.kafka_source import KafkaSource  # noqa: PLC0415 — same
    except ImportError as error:
        raise _not_installed() from error
    return KafkaSource(common(settings), membership, stop)


def make_publisher(settings: Settings, stop: Event, *, trim: bool = True) -> MessagePublisher:
    """Return what writes messages to topics; it connects when it is used.

    Without `trim` it never shortens a stream of Redis: for topics that somebody else consumes.
    Raises ConfigError when what Kafka needs is not installed.
    """
    if settings.intake_transport == "redis":
        from services.intake.redis_publisher import (  # noqa: PLC0415 — only one of the two is loaded
            STREAM_LENGTH,
            RedisPublisher,
        )

        return RedisPublisher(settings.redis_url, stop, length=STREAM_LENGTH if trim else None)
    try:
        from services.intake.kafka_config import common  # noqa: PLC0415 — confluent-kafka is an extra
        from services.intake.kafka_publisher import KafkaPublisher  # noqa: PLC0415 — same
    except ImportError as error:
        raise _not_installed() from error
    return KafkaPublisher(common(settings), stop)


def make_browser(settings: Settings) -> MessageBrowser:
    """Return what looks at topics without taking part in any group.

    Raises ConfigError when what Kafka needs is not installed.
    """
    if settings.intake_transport == "redis":
        from services.intake.redis_browser import RedisBrowser  # noqa: PLC0415 — only one is loaded

        return RedisBrowser(settings.redis_url)
    try:
        from services.intake.kafka_browser import KafkaBrowser  # noqa: PLC0415 — confluent-kafka is an extra
        from services.intake.kafka_config import common  # noqa: PLC0415 — same
    except ImportError as error:
        raise _not_installed() from error
    return KafkaBrowser(common(settings))


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _not_installed() -> ConfigError:
    return ConfigError(
        "INTAKE_TRANSPORT=kafka needs confluent-kafka: pip install --require-hashes -r requirements-kafka.txt"
    )
