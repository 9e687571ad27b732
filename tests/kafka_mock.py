"""A Kafka broker for tests: the mock cluster of librdkafka, which speaks the protocol over TCP.

It knows groups, rebalances and commits; it lives in this process, and other processes may use it too. The
binding for Python cannot hasten its first rebalance (3 s) nor take it down, so its C functions are called.
"""

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

PARTITIONS = 2
BROKER = 1


def _library() -> ctypes.CDLL:
    """The very librdkafka that confluent-kafka has loaded from its wheel."""
    beside = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    found = sorted(beside.glob("librdkafka-*"))
    assert found, f"no librdkafka in {beside}"
    library = ctypes.CDLL(str(found[0]))
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockKafka:
    """One broker; topics get two partitions when they are first written to, or by `make_topic`.

    `gathering_ms` is how long a new group waits for more members before it shares out its partitions.
    """

    def __init__(self, *, gathering_ms: int = 0) -> None:
        self._library = _library()
        self._client = ctypes.c_void_p(self._library.rd_kafka_new(0, None, None, ctypes.c_size_t(0)))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, 1))
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(
            self._cluster, ctypes.c_int32(gathering_ms)
        )
        servers: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        self.servers = servers.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def make_topic(self, name: str, partitions: int = PARTITIONS) -> None:
        """Make a topic before anybody writes to it."""
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)

    def go_away(self) -> None:
        """Refuse every connection, and cut those that are open."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, ctypes.c_int32(BROKER))

    def come_back(self) -> None:
        """Be there again, with everything as it was."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, ctypes.c_int32(BROKER))
