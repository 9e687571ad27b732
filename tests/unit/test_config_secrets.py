"""No secret is shown: not by a problem, not by the settings, not by what is masked."""

import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Settings, load_settings, masked
from models.errors import ConfigError

# Marked so that it cannot occur in a message by chance.
secrets = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12).map(
    lambda text: f"Q9{text.strip()}7Z".replace("***", "")
)
MARK = ("Q9", "7Z")


@settings(deadline=None)
@given(secrets)
def test_no_secret_is_ever_in_a_problem(secret: str) -> None:
    names = ("GATEWAY_TOKEN", "GATEWAY_HMAC_SECRET", "CONTROL_TOKEN")
    unreadable = dict.fromkeys(names, f"{secret}\n{secret}")
    urls = {
        "REDIS_URL": f"redis://:{secret}@host:port",
        "DATABASE_URL": f"postgresql://u:{secret}@host:port/x",
        "GATEWAY_URL": f"http://u:{secret}@host",
    }
    mistaken = {"HEALTH_PORT": f"redis://:{secret.replace(' ', '')}@host"}
    with pytest.raises(ConfigError) as caught:
        load_settings(unreadable | urls | mistaken, dotenv=None)
    shown = str(caught.value)
    assert not any(mark in shown for mark in MARK)


@settings(deadline=None)
@given(secrets, st.sampled_from(["GATEWAY_HMAC_SECRET", "POSTGRES_PASSWORD", "REDIS_URL", "DATABASE_URL"]))
def test_no_secret_is_ever_in_what_settings_show(secret: str, name: str) -> None:
    url = {"REDIS_URL": "redis://:{}@host", "DATABASE_URL": "postgresql://u:{}@host/x"}.get(name, "{}")
    try:
        loaded = load_settings({name: url.format(secret)}, dotenv=None)
    except ConfigError as error:
        shown = str(error)
    else:
        shown = f"{loaded} {loaded!r} {loaded.describe()}"
    assert not any(mark in shown for mark in MARK)


@settings(deadline=None)
@given(
    secrets,
    st.text(string.printable, max_size=10).filter(lambda text: not any(mark in text for mark in MARK)),
)
def test_credentials_in_a_url_are_masked(secret: str, around: str) -> None:
    url = f"redis://user:{secret.replace(' ', '_')}@host:1/0"
    assert not any(mark in masked(f"{around} {url} {around}") for mark in MARK)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:a@b:c://d@host/0", "redis://***@host/0"),
        ("https://token@host/x", "https://***@host/x"),
        (
            "postgresql://db/x?user=u&password=hunter2&sslmode=require",
            "postgresql://db/x?user=u&password=***&sslmode=require",
        ),
        ("host=db password='hunter 2' user=u", "host=db password=*** user=u"),
        ('{"token": "hunter2", "symbol": "AAPL"}', '{"token": ***, "symbol": "AAPL"}'),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
        ("http://localhost:3000/a", "http://localhost:3000/a"),
        ("token: expired", "token: expired"),
    ],
)
def test_masking_leaves_what_is_not_secret(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("length", [1, 100, 512])
def test_long_passwords_are_masked(length: int) -> None:
    assert masked(f"at redis://user:{'x' * length}@host/0") == "at redis://***@host/0"


@pytest.mark.parametrize("part", ["://", "://a:", "://a", ":// "])
def test_masking_a_long_hostile_text_takes_no_longer_than_its_length_asks_for(part: str) -> None:
    text = part * (256 * 1024 // len(part))
    started = time.process_time()
    assert masked(text) == text
    assert time.process_time() - started < 5  # a tenth of that; where it grows with the square, a minute


def test_the_description_names_every_setting_and_masks_the_secret_ones() -> None:
    shown = Settings(redis_url="redis://:hunter2@host", health_port=1).describe()
    assert list(shown) == [name.upper() for name in Settings.model_fields]
    assert shown["REDIS_URL"] == "redis://***@host"
    assert shown["HEALTH_PORT"] == 1
    assert shown["GATEWAY_TOKEN"] is None
    assert load_settings({"CONTROL_TOKEN": "x"}, dotenv=None).describe()["CONTROL_TOKEN"] == "***"  # noqa: S105 - a mask
