"""Which hook does what, without a receiver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from endpoint import Endpoint

from dcmrecv_actions import ActionsPlugin
from dcmrecv_actions.execution import CommandError
from dcmrecv_actions.webhooks import WebhookError
from dcmrecv_core import Undeliverable
from dcmrecv_core.testing import fake_event, fake_series, fake_settings, fake_study

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
        ({"on_study": "true", "on_series": "true", "on_study_url": "http://host/"}, []),
    ],
)
def test_targets_have_the_names_of_options(options: dict[str, str], targets: list[str]) -> None:
    """They do not depend on the command: a changed one goes on with the same queue."""
    settings = fake_settings(options={**dict.fromkeys(OPTIONS), **options})
    assert ActionsPlugin().delivery_targets(settings) == targets  # --list-plugins asks without `configure`


def test_without_their_options_the_hooks_do_nothing() -> None:
    plugin = configured(on_instance="false")
    plugin.study_completed(fake_study())
    plugin.series_completed(fake_series())
    configured(on_study="false").series_completed(fake_series())
    configured(on_series="false").study_completed(fake_study())


def test_each_target(endpoint: Endpoint, tmp_path: Path) -> None:
    plugin = configured(on_instance=f"touch {tmp_path}/#{{sop_instance_uid}}", on_instance_url=endpoint.url)
    plugin.deliver(fake_event(sop_instance_uid="1.2"), "on-instance")
    assert [path.name for path in tmp_path.iterdir()] == ["1.2"]
    assert endpoint.posts.empty()
    plugin.deliver(fake_event(sop_instance_uid="3.4"), "on-instance-url")
    assert json.loads(endpoint.next_post()[2])["subject"] == "3.4"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_command_of_a_study_is_not_repeated_for_its_url(endpoint: Endpoint, tmp_path: Path) -> None:
    plugin = configured(on_study=f"sh -c 'echo #{{id}} >> {tmp_path}/told'", on_study_url=endpoint.url)
    first, second = fake_study(), fake_study()
    endpoint.answers = [(503, {}), (503, {})]
    for _ in range(2):
        with pytest.raises(WebhookError):
            plugin.study_completed(first)
    plugin.study_completed(first)
    plugin.study_completed(second)
    assert (tmp_path / "told").read_text().split() == [first.id, second.id]
    assert [json.loads(endpoint.next_post()[2])["id"] for _ in range(4)] == [first.id] * 3 + [second.id]
    plugin.study_completed(first)  # `dcmrecvctl queue retry`: all of it
    assert len((tmp_path / "told").read_text().split()) == 3


def test_the_url_of_a_study_is_not_repeated_for_its_command(endpoint: Endpoint, tmp_path: Path) -> None:
    plugin = configured(on_study=f"test -e {tmp_path}/there", on_study_url=endpoint.url)
    study = fake_study()
    with pytest.raises(CommandError):
        plugin.study_completed(study)
    (tmp_path / "there").touch()
    plugin.study_completed(study)
    endpoint.next_post()
    assert endpoint.posts.empty()


def test_a_study_is_put_aside_when_nothing_is_to_be_tried_again(endpoint: Endpoint, tmp_path: Path) -> None:
    plugin = configured(on_study=f"test -e {tmp_path}/there", on_study_url=endpoint.url)
    study = fake_study()
    endpoint.answers = [(404, {}), (404, {})]
    with pytest.raises(CommandError):
        plugin.study_completed(study)
    (tmp_path / "there").touch()
    with pytest.raises(Undeliverable, match="answered 404"):
        plugin.study_completed(study)
