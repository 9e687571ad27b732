"""The one stream to the OMS: opened early, kept open, opened again whenever it ends."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import structlog

from models.errors import ConfigError, NotSent
from services.oms.protocol import Answers, OrderResponse, open_stream
from services.signals.oms_link import Link
from services.signals.oms_orders import Order
from services.signals.oms_outgoing import Outgoing

# A stream that ended sooner than this was no good: the next one waits.
SHORT_LIFE_SECONDS = 1.0
CLOSING_SECONDS = 1.0
LONGEST_DETAIL = 200
# Servers that were not told otherwise hang up on clients that ping an idle connection more often than every
# five minutes. A peer that does not confirm what was sent to it within the second time is taken for dead.
KEEPALIVE_MS = 330_000
KEEPALIVE_TIMEOUT_MS = 20_000
REFUSES_CREDENTIALS = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Where the OMS is and how to reach it.

    `ca_file` names the authority (PEM) of its certificate; without it nothing is encrypted. Seconds:
    `reconnect` are the first and the longest wait between attempts to connect; an order waits up to
    `patience` for a stream; a new stream is used when it has not been refused for `settling`.
    """

    address: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    reconnect: tuple[float, float] = (1.0, 10.0)
    patience: float = 1.0
    settling: float = 0.25


class OmsStream:
    """Keeps a stream open from `start` to `close`, on a thread of its own.

    `on_answer` is called by that thread with every answer; `on_end` with the reason when a stream has ended
    and with the orders that it had not taken: those surely never left.
    """

    def __init__(
        self,
        options: StreamOptions,
        on_answer: Callable[[OrderResponse], None],
        on_end: Callable[[str, list[Order]], None],
    ) -> None:
        """Raises ConfigError when the authorities cannot be read."""
        self._options = options
        self._on_answer = on_answer
        self._on_end = on_end
        self._link = Link(options.settling)
        self._channel = _make_channel(options)
        self._stop = threading.Event()
        self._answers: Answers | None = None
        self._thread = threading.Thread(target=self._run, name="oms-stream", daemon=True)

    @property
    def fault(self) -> str | None:
        """Why no order can be sent now; None when one can."""
        return self._link.fault

    @property
    def refusal(self) -> str | None:
        """Why the OMS does not accept our credentials; None when it does or nothing is known."""
        return self._link.refusal

    def start(self) -> None:
        """Begin to connect."""
        self._channel.subscribe(self._link.connectivity_changed)
        self._thread.start()

    def wait_for_news(self, seconds: float) -> None:
        """Return when it is known whether the OMS can be used, after `seconds` at the latest."""
        self._link.wait_for_news(seconds)

    def put(self, order: Order) -> Outgoing:
        """Have an order sent; return where it waits for that. Raises NotSent without a stream in time."""
        outgoing = self._link.wait(self._options.patience)
        if not outgoing.put(order):
            raise NotSent("the stream to the OMS ended")
        return outgoing

    def close(self) -> None:
        """End the stream and connect no more."""
        self._stop.set()
        self._link.close()
        if self._answers is not None:
            self._answers.cancel()
        if self._thread.ident is not None:
            self._thread.join(CLOSING_SECONDS)
        self._channel.close()

    def _run(self) -> None:
        first, longest = self._options.reconnect
        failures, wait_for_ready = 0, False
        while not self._stop.is_set():
            began = time.monotonic()
            code = self._converse(wait_for_ready=wait_for_ready)
            lived = time.monotonic() - began
            # An attempt that does not wait says at once why nobody is there; the next waits for somebody.
            wait_for_ready = code is grpc.StatusCode.UNAVAILABLE and not wait_for_ready
            if lived >= SHORT_LIFE_SECONDS:
                failures = 0
            elif not wait_for_ready:
                failures += 1
                self._stop.wait(min(first * 2.0 ** min(failures - 1, 16), longest))

    def _converse(self, *, wait_for_ready: bool) -> grpc.StatusCode:
        """Keep one stream until it ends; return how it did."""
        outgoing = Outgoing()
        self._link.opened(outgoing)
        code, reason = grpc.StatusCode.OK, "the OMS ended the stream"
        try:
            self._answers = open_stream(
                self._channel, outgoing, self._options.token, wait_for_ready=wait_for_ready
            )
            self._read(self._answers)
        except grpc.RpcError as error:
            code, reason = error.code(), _describe(error)
        except (
            Exception
        ) as error:  # the loop of a thread: whatever was wrong with one stream, another follows
            log.exception("oms_stream_failed")
            code, reason = grpc.StatusCode.INTERNAL, f"internal_error: {type(error).__name__}"
        self._link.ended(reason, reason if code in REFUSES_CREDENTIALS else None)
        if not self._stop.is_set():
            log.warning("oms_stream_ended", reason=reason)
        self._on_end(reason, outgoing.end())
        return code

    def _read(self, answers: Answers) -> None:
        if self._stop.is_set():  # since before there was something to cancel
            answers.cancel()
        for answer in answers:
            self._link.answered()
            self._on_answer(answer)


def _describe(error: grpc.RpcError) -> str:
    """Return what the status of a stream says, on one line."""
    details = " ".join((error.details() or "").split())[:LONGEST_DETAIL]
    return f"{error.code().name.lower()}: {details}" if details else error.code().name.lower()


def _make_channel(options: StreamOptions) -> grpc.Channel:
    first, longest = (int(seconds * 1000) for seconds in options.reconnect)
    settings = [
        ("grpc.initial_reconnect_backoff_ms", first),
        ("grpc.min_reconnect_backoff_ms", first),
        ("grpc.max_reconnect_backoff_ms", longest),
        ("grpc.enable_retries", 0),  # nothing is sent twice behind our back
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ]
    if options.ca_file is None:
        return grpc.insecure_channel(options.address, settings)
    try:
        authorities = options.ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(f"OMS_TLS_CA names a file that cannot be read: {error.strerror}") from error
    return grpc.secure_channel(options.address, grpc.ssl_channel_credentials(authorities), settings)
