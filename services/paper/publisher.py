"""Tells workers and ingestors over Redis what is subscribed."""

from typing import Protocol

import redis
import structlog

from models.market_data import ControlEvent
from services.redis_client import make_client

CHANNEL = "system:subscription_updates"

log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Where the news of sessions goes. False says that it did not get there."""

    def subscribe(self, event: ControlEvent) -> bool:
        """Mark the event's symbol as active and publish the event."""

    def unsubscribe(self, event: ControlEvent, *, last_of_type: bool, last_of_symbol: bool) -> bool:
        """Publish the event; unmark the symbol, and end all of it, when that was the last session there."""

    def ping(self) -> bool:
        """Whether news would get through now."""


class RedisPublisher:
    """Publishes on `system:subscription_updates` and keeps the sets `active_subscriptions:{type}`.

    Thread-safe. Connects when it is first used and never waits longer than 2 s for Redis.
    """

    def __init__(self, url: str) -> None:
        self._redis = make_client(url)

    def subscribe(self, event: ControlEvent) -> bool:
        """Mark the event's symbol as active and publish the event, both or neither."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.sadd(_active(event), event.symbol)
            pipeline.publish(CHANNEL, _json(event))
            return self._sent(pipeline, event)

    def unsubscribe(self, event: ControlEvent, *, last_of_type: bool, last_of_symbol: bool) -> bool:
        """Publish the event, and with the last session of a symbol the one that names no session."""
        with self._redis.pipeline(transaction=True) as pipeline:
            if last_of_type:
                pipeline.srem(_active(event), event.symbol)
            pipeline.publish(CHANNEL, _json(event))
            if last_of_symbol:
                whole = ControlEvent(action="unsubscribe", symbol=event.symbol, type=event.type)
                pipeline.publish(CHANNEL, _json(whole))
            return self._sent(pipeline, event)

    def ping(self) -> bool:
        """Whether Redis answers now."""
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _sent(self, pipeline: "redis.client.Pipeline", event: ControlEvent) -> bool:
        try:
            pipeline.execute()
        except redis.RedisError as error:
            log.warning(
                "subscription_not_published",
                change=event.action,
                symbol=event.symbol,
                session_id=event.session_id,
                error=type(error).__name__,
            )
            return False
        return True


def _active(event: ControlEvent) -> str:
    return f"active_subscriptions:{event.type}"


def _json(event: ControlEvent) -> str:
    return event.model_dump_json(by_alias=True, exclude_none=True)
