"""What a gateway that fails answers, as makers of faults: each is made anew for every round."""

import gzip
import json
from functools import partial

from tests.faults.gateway import Fault, FaultyGateway
from tests.gateway_stub import HANG, SILENT_DROP, Answer, Received

VICTIM = "VICTIM"
BOMB_BYTES = 200 * 1024 * 1024
RETRY_AFTER = 1


def _is_meant(received: Received) -> bool:
    """Whether this is a POST of a victim's signal."""
    return received.method == "POST" and received.json["symbol"] == VICTIM


def refused(gateway: FaultyGateway) -> Fault:
    """Be away: connections are refused until the round ends."""
    gateway.go_away()
    return lambda _: None


def unavailable(_: FaultyGateway) -> Fault:
    """503 without a word about when."""
    return lambda received: Answer(503) if _is_meant(received) else None


def overloaded(gateway: FaultyGateway, status: int) -> Fault:
    """Refuse with Retry-After."""
    return lambda received: (
        gateway.ask_to_wait(received, status, RETRY_AFTER) if _is_meant(received) else None
    )


def drops(gateway: FaultyGateway, *, readable: bool = True) -> Fault:
    """Execute, and end the connection without a reply; where not `readable`, know nothing of it later."""

    def fault(received: Received) -> Answer | None:
        if _is_meant(received):
            gateway.execute(received)
            return SILENT_DROP
        if received.method == "GET" and not readable:
            return Answer.of(404, {"error": "not found"})
        return None

    return _once_each(fault) if readable else fault


def drips(gateway: FaultyGateway) -> Fault:
    """Execute, and reply with one byte a second."""
    return _once_each(
        lambda received: (
            Answer(201, gateway.execute(received).body, drip=1.0) if _is_meant(received) else None
        )
    )


def redirects(gateway: FaultyGateway) -> Fault:
    """Send the request elsewhere."""
    elsewhere = {"Location": f"{gateway.url}/elsewhere"}
    return lambda received: Answer(302, headers=elsewhere) if _is_meant(received) else None


def bomb(gateway: FaultyGateway) -> Fault:
    """Execute, and reply with 200 kB that unpack to 200 MB."""
    packed = gzip.compress(b'{"status":"filled","x":"' + bytes(BOMB_BYTES) + b'"}', compresslevel=9)
    answer = Answer(201, packed, headers={"Content-Encoding": "gzip"})

    def fault(received: Received) -> Answer | None:
        if not _is_meant(received):
            return None
        gateway.execute(received)
        return answer

    return _once_each(fault)


def unauthorised(_: FaultyGateway) -> Fault:
    """Refuse everybody's credentials."""
    return lambda _received: Answer(401, json.dumps({"error": "unauthorised"}).encode())


def hangs(gateway: FaultyGateway) -> Fault:
    """Execute, and never reply."""

    def fault(received: Received) -> Answer | None:
        if not _is_meant(received):
            return None
        gateway.execute(received)
        return HANG

    return _once_each(fault)


def _once_each(fault: Fault) -> Fault:
    """Fail each signal once."""
    failed: set[str] = set()

    def once(received: Received) -> Answer | None:
        if received.signal_id in failed:
            return None
        answer = fault(received)
        if answer is not None:
            failed.add(received.signal_id)
        return answer

    return once


overloaded_429 = partial(overloaded, status=429)
overloaded_503 = partial(overloaded, status=503)
drops_for_good = partial(drops, readable=False)
