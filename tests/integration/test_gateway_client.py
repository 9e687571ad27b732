"""What the gateway sees of a request, and what the client makes of ordinary replies."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import ConfigError, Refused
from services.signals.gateway_client import GatewayClient, GatewayOptions
from tests.gateway_stub import Answer, GatewayStub, Received
from tests.sample_signals import make_signal
from tests.support import eventually


@pytest.fixture
def stub() -> Iterator[GatewayStub]:
    with GatewayStub() as gateway:
        yield gateway


def test_a_signal_is_posted_as_the_contract_says(stub: GatewayStub) -> None:
    signal = make_signal()
    reply = GatewayClient(GatewayOptions(stub.url, token="t0ken")).execute(signal)  # noqa: S106 — a test's
    assert reply.status == 201
    assert json.loads(reply.body)["status"] == "filled"
    [received] = stub.requests
    assert (received.method, received.path) == ("POST", "/internal/execute")
    assert received.json["signalId"] == signal.signal_id
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == signal.signal_id
    assert received.headers["authorization"] == "Bearer t0ken"
    assert received.headers["accept-encoding"] == "identity"
    assert "x-signature" not in received.headers
    assert "x-timestamp" not in received.headers


def test_without_a_token_nothing_is_authorised(stub: GatewayStub) -> None:
    GatewayClient(GatewayOptions(stub.url)).execute(make_signal())
    assert "authorization" not in stub.requests[0].headers


def test_both_kinds_of_request_are_signed_over_the_bytes_and_the_path_on_the_wire(stub: GatewayStub) -> None:
    options = GatewayOptions(f"{stub.url}/api/v1/", hmac_secret="s3cret")  # noqa: S106 — a test's
    client = GatewayClient(options, wall_clock=lambda: 1_800_000_000.9)
    client.execute(make_signal(metadata={"é": "/?&"}))
    client.read_back("11111111-2222-5333-8444-555555555555")
    post, get = stub.requests
    assert post.path == "/api/v1/internal/execute"
    assert get.path == "/api/v1/internal/executions/11111111-2222-5333-8444-555555555555"
    for received in (post, get):
        assert received.headers["x-timestamp"] == "1800000000"
        assert received.headers["x-signature"] == signature("s3cret", received)
    assert get.body == b""


def signature(secret: str, received: Received) -> str:
    lines = [received.headers["x-timestamp"], received.method, received.path, received.body.decode()]
    return hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()


def test_a_probe_asks_for_a_signal_that_never_was(stub: GatewayStub) -> None:
    client = GatewayClient(GatewayOptions(stub.url, token="t0ken"))  # noqa: S106 — a test's
    assert client.probe().status == 404
    assert client.probe().status == 404
    first, second = stub.gets
    assert first.path != second.path
    assert first.headers["authorization"] == "Bearer t0ken"


def test_a_signal_that_is_no_json_is_refused_before_anything_is_sent(stub: GatewayStub) -> None:
    with pytest.raises(Refused):
        GatewayClient(GatewayOptions(stub.url)).execute(make_signal(metadata={"object": object()}))
    assert stub.requests == []


def test_a_redirect_is_an_answer_and_not_followed(stub: GatewayStub) -> None:
    with GatewayStub() as elsewhere:
        location = {"Location": f"{elsewhere.url}/internal/execute"}
        stub.script(*(Answer(status, headers=location) for status in (301, 302, 303, 307, 308)))
        client = GatewayClient(GatewayOptions(stub.url))
        assert [client.execute(make_signal()).status for _ in range(5)] == [301, 302, 303, 307, 308]
        assert elsewhere.connections == 0
    assert len(stub.requests) == 5


@pytest.mark.parametrize("location", ["http://[", "//", "x" * 5000, "ftp://127.0.0.1/"])
def test_wherever_a_redirect_points_it_is_only_an_answer(stub: GatewayStub, location: str) -> None:
    stub.script(Answer(302, headers={"Location": location}))
    assert GatewayClient(GatewayOptions(stub.url)).execute(make_signal()).status == 302


def test_proxies_of_the_environment_are_not_used(stub: GatewayStub, monkeypatch: pytest.MonkeyPatch) -> None:
    with GatewayStub() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert GatewayClient(GatewayOptions(stub.url)).execute(make_signal()).status == 201
        assert proxy.connections == 0


def test_passwords_of_netrc_are_not_used(
    stub: GatewayStub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    client = GatewayClient(GatewayOptions(stub.url))
    client.execute(make_signal())
    client.read_back("signal")
    assert all("authorization" not in received.headers for received in stub.requests)


def test_cookies_are_not_kept(stub: GatewayStub) -> None:
    stub.script(
        Answer(201, headers={"Set-Cookie": "a=1; Path=/"}), Answer(200, headers={"Set-Cookie": "b=1"})
    )
    client = GatewayClient(GatewayOptions(stub.url))
    client.execute(make_signal())
    client.read_back("signal")
    client.execute(make_signal())
    assert all("cookie" not in received.headers for received in stub.requests)


def test_one_connection_serves_request_after_request(stub: GatewayStub) -> None:
    client = GatewayClient(GatewayOptions(stub.url))
    for _ in range(5):
        client.execute(make_signal())
        client.read_back("signal")
    assert stub.connections == 1


def test_a_connection_that_was_idle_is_not_used_again(stub: GatewayStub) -> None:
    client = GatewayClient(GatewayOptions(stub.url, reuse_seconds=0.05))
    client.execute(make_signal())
    threading.Event().wait(0.06)
    client.execute(make_signal())
    assert [received.connection for received in stub.requests] == [1, 2]


def test_a_connection_that_the_gateway_closed_is_replaced_without_loss(stub: GatewayStub) -> None:
    client = GatewayClient(GatewayOptions(stub.url))
    stub.script(Answer(raw=Answer.of(201, {}).wire, end="close"), Answer.of(201, {}, end="close"))
    for _ in range(2):
        assert client.execute(make_signal()).status == 201
        eventually(lambda: stub.open_connections == 0)
    assert client.execute(make_signal()).status == 201
    assert [received.connection for received in stub.requests] == [1, 2, 3]


def test_each_thread_has_its_own_connection(stub: GatewayStub) -> None:
    client = GatewayClient(GatewayOptions(stub.url))
    together = threading.Barrier(3)

    def answer(received: Received) -> Answer:
        together.wait(10.0)  # all three are under way
        return stub.friendly(received)

    stub.answer = answer

    def send() -> None:
        for _ in range(3):
            client.execute(make_signal())

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stub.posts) == 9
    assert stub.connections == 3
    client.close()


def test_tls_with_an_authority_of_ones_own() -> None:
    with GatewayStub(tls=True) as stub:
        client = GatewayClient(GatewayOptions(stub.url, ca_file=str(stub.ca_file)))
        assert client.execute(make_signal()).status == 201
        assert client.read_back("signal").status == 404
        assert stub.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:3000",
        "ftp://localhost",
        "http://",
        "http://u:p@localhost",
        "http://localhost?a=1",
        "http://localhost#x",
    ],
)
def test_a_url_that_cannot_be_used_is_a_matter_for_the_operator(url: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_URL"):
        GatewayClient(GatewayOptions(url))


@pytest.mark.parametrize("token", ["two\nlines", "naïve", "\x00"])
def test_a_token_that_fits_no_header_is_too(token: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_TOKEN"):
        GatewayClient(GatewayOptions("http://localhost", token=token))


def test_secrets_are_not_shown() -> None:
    shown = repr(GatewayOptions("http://localhost", token="t0ken", hmac_secret="s3cret"))  # noqa: S106 — a test's
    assert "t0ken" not in shown
    assert "s3cret" not in shown
