"""The compose file, as far as it can be proven without a container engine."""

import re
import subprocess
import sys

import pytest
import yaml

from config import Settings, load_settings
from tests.architecture.source import ROOT

FOLDER = ROOT / "deploy"
COMPOSE = yaml.safe_load((FOLDER / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_worker_and_gateway_are_built_from_the_dockerfile() -> None:
    assert OURS == ["gateway", "worker"]
    assert all((FOLDER / SERVICES[name]["build"] / "Dockerfile").is_file() for name in OURS)


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_a_server_image_has_its_version(name: str) -> None:
    assert re.search(r":\d[\w.-]*$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", OURS)
def test_what_the_compose_file_sets_is_a_valid_configuration(name: str) -> None:
    environment = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    assert [key for key in environment if key.lower() not in Settings.model_fields] == []
    chosen = {"POSTGRES_PASSWORD": "secret", "GATEWAY_TOKEN": "secret"}
    settings = load_settings(environment | chosen, dotenv=None)
    assert settings.redis_url == "redis://valkey:6379"


@pytest.mark.parametrize("name", OURS)
def test_a_command_of_the_compose_file_works(name: str) -> None:
    _, *arguments = SERVICES[name].get("command", ["python", "main.py"])
    helped = subprocess.run(  # noqa: S603 — our own program
        [sys.executable, *arguments, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert helped.returncode == 0, helped.stderr


def test_no_secret_stands_in_the_compose_file() -> None:
    values = [
        value
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if key.endswith(("PASSWORD", "TOKEN", "SECRET"))
    ]
    assert values
    assert all(re.fullmatch(r"\$\{\w+:\?.+\}", value) for value in values)


def test_the_worker_is_given_longer_to_stop_than_it_takes() -> None:
    grace = float(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().shutdown_seconds


def test_ports_are_open_to_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", OURS)
def test_what_ends_by_itself_is_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_what_a_frozen_worker_leaves_outlives_its_container() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    folder = re.search(r"RUN_PATH=(\S+)", image)
    assert folder is not None
    assert f"run:{folder[1]}" in SERVICES["worker"]["volumes"]
    assert "run" in COMPOSE["volumes"]
    assert folder[1] in next(line for line in image.splitlines() if "install --directory" in line)
