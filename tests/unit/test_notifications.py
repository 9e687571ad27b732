"""What is told to whom, and what is never told."""

import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from models.errors import ConfigError
from services.history.engine.notifications import Notifications
from tests.hook import Receiver, receiving
from tests.support import free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what apprise imports


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def url(receiver: Receiver, path: str = "hook") -> str:
    return f"json://127.0.0.1:{receiver.server_port}/{path}"


def test_everybody_who_is_named_hears_of_it(receiver: Receiver) -> None:
    told = Notifications(SecretStr(f"{url(receiver, 'one')},{url(receiver, 'two')}\n{url(receiver)}"))
    assert told.send("finished", "4 strategies")
    assert [(each["title"], each["message"]) for each in receiver.received] == [
        ("finished", "4 strategies")
    ] * 3


def test_who_cannot_be_reached_keeps_nobody_from_hearing(receiver: Receiver) -> None:
    nobody = f"json://127.0.0.1:{free_port()}/hook"
    assert not Notifications(SecretStr(f"{nobody} {url(receiver)}")).send("finished", "so far")
    assert len(receiver.received) == 1


def test_a_refusal_is_told_of_by_number_and_never_by_url(
    receiver: Receiver, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.status = 500
    assert not Notifications(SecretStr(url(receiver, "s3cret"))).send("finished", "so far")
    captured = capfd.readouterr()
    assert "s3cret" not in captured.out + captured.err + caplog.text


def test_nobody_to_tell_is_no_failure() -> None:
    assert Notifications(None).send("finished", "so far")
    assert Notifications(SecretStr("  ")).send("finished", "so far")


def test_a_url_that_nobody_knows_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_URLS: number 2 is no URL") as caught:
        Notifications(SecretStr("json://127.0.0.1/a nonsense://s3cret@host"))
    assert "s3cret" not in str(caught.value)
