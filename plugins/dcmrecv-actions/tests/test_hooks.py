"""Which hook does what, without a receiver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from endpoint import Endpoint

from dcmrecv_actions import ActionsPlugin
from dcmrecv_core import TryAgain
from dcmrecv_core.testing import fake_event, fake_settings, fake_study

OPTIONS = ("on_instance", "on_series", "on_study", "on_instance_url", "on_study_url")


def configured(**options: str) -> ActionsPlugin:
    plugin = ActionsPlugin()
    plugin.configure(fake_settings(options={**dict.fromkeys(OPTIONS), **options}))
    return plugin


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"on_instance": "true"}, ["on-instance"]),
        ({"on_instance_url": "http://host/"}, ["on-instance-url"]),
        ({"on_instance": "true", "on_instance_url": "http://host/"}, ["on-instance", "on-instance-url"]),
        ({"on_series": "true"}, ["series_completed/on-series"]),
        ({"on_study": "true"}, ["study_completed/on-study"]),
        (
            {"on_study": "true", "on_study_url": "http://host/"},
            ["study_completed/on-study", "study_completed/on-study-url"],
        ),
    ],
)
def test_targets_have_the_names_of_options(options: dict[str, str], targets: list[str]) -> None:
    """They do not depend on the command: a changed one goes on with the same queue."""
    settings = fake_settings(options={**dict.fromkeys(OPTIONS), **options})
    plugin = ActionsPlugin()  # --list-plugins asks without `configure`
    found = plugin.delivery_targets(settings)
    for hook in ("series_completed", "study_completed"):
        found += [f"{hook}/{target}" for target in plugin.completion_targets(settings, hook)]
    assert found == targets


def test_each_target(endpoint: Endpoint, tmp_path: Path) -> None:
    plugin = configured(on_instance=f"touch {tmp_path}/#{{sop_instance_uid}}", on_instance_url=endpoint.url)
    plugin.deliver(fake_event(sop_instance_uid="1.2"), "on-instance")
    assert [path.name for path in tmp_path.iterdir()] == ["1.2"]
    assert endpoint.posts.empty()
    plugin.deliver(fake_event(sop_instance_uid="3.4"), "on-instance-url")
    assert json.loads(endpoint.next_post()[2])["subject"] == "3.4"
    assert len(list(tmp_path.iterdir())) == 1


def test_each_target_of_a_study(endpoint: Endpoint, tmp_path: Path) -> None:
    """What fails, hangs or is repeated in one is nothing to the other."""
    plugin = configured(on_study=f"test -e {tmp_path}/there", on_study_url=endpoint.url)
    study = fake_study()
    with pytest.raises(TryAgain, match="ended with exit code 1"):
        plugin.study_completed(study, "on-study")
    assert endpoint.posts.empty()
    endpoint.answers = [(503, {})]
    with pytest.raises(TryAgain, match="answered 503"):
        plugin.study_completed(study, "on-study-url")
    plugin.study_completed(study, "on-study-url")
    assert {json.loads(endpoint.next_post()[2])["id"] for _ in range(2)} == {study.id}
    (tmp_path / "there").touch()
    plugin.study_completed(study, "on-study")
    assert endpoint.posts.empty()
