"""The manifests for Kubernetes, as far as they can be proven without a cluster."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import load_settings
from tests.support import REPOSITORY, running_process

MANIFESTS = sorted((REPOSITORY / "deploy" / "kubernetes").glob("*.yaml"))


def pods(path: Path) -> Iterator[dict[str, Any]]:
    """The pod that a manifest describes."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    yield spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_sets_only_settings_that_there_are_and_runs_as_an_ordinary_user(path: Path) -> None:
    for pod in pods(path):
        (container,) = pod["containers"]
        given = {each["name"]: each["value"] for each in container["env"]}
        settings = load_settings(given, None).describe()
        assert {name: str(settings[name]).removesuffix(".0") for name in given} == given
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_command_of_a_manifest_is_one_that_main_knows(path: Path) -> None:
    for pod in pods(path):
        program, *words = pod["containers"][0]["args"]
        assert program == "python"
        with running_process([sys.executable, *words, "--help"]) as process:
            assert process.wait() == 0, process.output


def test_a_job_ends_by_itself_before_it_is_ended() -> None:
    (path,) = [each for each in MANIFESTS if "cronjob" in each.stem]
    job = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["jobTemplate"]["spec"]
    (pod,) = pods(path)
    words = pod["containers"][0]["args"]
    longest = json.loads(words[words.index("--max-seconds") + 1])
    assert longest + pod["terminationGracePeriodSeconds"] < job["activeDeadlineSeconds"]
