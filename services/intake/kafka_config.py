"""The settings of librdkafka that follow from ours."""

import logging

from models.settings import Settings

LOGGER = logging.getLogger("kafka")
"""Where librdkafka's own lines go; confluent-kafka hands them on while it is polled."""

Config = dict[str, str | int | bool]


def common(settings: Settings) -> Config:
    """Return how the brokers are reached, for consumers and producers."""
    config: Config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": "strategy-worker",
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 10_000,  # so soon a topic is seen that was made after the start
    }
    if settings.kafka_ca_file is not None:
        config["ssl.ca.location"] = str(settings.kafka_ca_file)
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        config["sasl.mechanisms"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username or ""
        config["sasl.password"] = "" if password is None else password.get_secret_value()
    return config


def of_consumer(config: Config, group: str) -> Config:
    """Return what a consumer needs: only we commit, and a new group begins at the beginning."""
    return config | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 200,  # other questions to the broker wait behind a fetch
    }


def of_producer(config: Config) -> Config:
    """Return what a producer needs: its own retries repeat nothing; a key's partition is the one of Java."""
    return config | {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "partitioner": "murmur2_random",
    }
