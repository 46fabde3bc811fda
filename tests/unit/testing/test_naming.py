"""`check_naming`: what it promises, and that its failures explain themselves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from dcmrecv_core import Instance, Name, escape, escape_directory
from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.testing import check_naming
from dcmrecv_core.testing.torture import cases
from support.plugins import hooks

pytest_plugins = ["dcmrecv_core.testing"]


Hook = Callable[..., Any]


def by_uid(instance: Instance) -> str:
    return escape(instance.sop_instance_uid)


def problems(**functions: Hook) -> list[str]:
    """What `check_naming` finds, a line each."""
    with pytest.raises(AssertionError) as failure:
        check_naming(hooks(**functions))
    return [line.strip() for line in str(failure.value).splitlines()[1:]]


@pytest.mark.parametrize("name", ["instance_uid", "series_date", "no_subdir"])
def test_built_in_schemes_pass(name: str) -> None:
    check_naming(f"dcmrecv_builtin.{name}")


def test_schemes_that_make_new_names_pass_without_determinism() -> None:
    counter = itertools.count()
    plugin = hooks(choose_filename=lambda instance: f"{next(counter)}")
    with pytest.raises(AssertionError, match="not deterministic"):
        check_naming(plugin)
    check_naming(plugin, deterministic=False)


def test_the_paths_by_what_is_special() -> None:
    paths = check_naming(hooks(choose_subdir=lambda instance: escape(str(instance.get("PatientID", "none")))))
    assert len(paths) == len(list(cases()))
    assert paths["nothing but UIDs"].startswith("none/CT.")
    assert paths[".."].startswith("_~")
    assert paths["a Japanese name"].startswith("山田/")


def test_no_case_has_the_uid_of_another() -> None:
    uids = [case.dataset.SOPInstanceUID for case in cases()]
    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) == 64
    labels = [case.label for case in cases()]
    assert len(set(labels)) == len(labels)
    assert {case.twin for case in cases()} - {""} <= set(labels)


def test_what_is_refused() -> None:
    found = problems(choose_subdir=lambda instance: str(instance.get("PatientID", "none")), choose_filename=by_uid)
    refused = {line.split("'")[1]: line for line in found if line.startswith("refused")}
    assert refused.keys() == {"slashes and ..", "an absolute path", "..", "NUL and control characters"}
    assert "choose_subdir: ValueError: Chosen directory leaves the output directory" in refused[".."]


def test_a_missing_attribute() -> None:
    found = problems(choose_filename=lambda instance: f"{instance.header.PatientID}-{by_uid(instance)}")
    assert "refused: 'nothing but UIDs': Plugin SimpleNamespace failed in choose_filename: AttributeError" in found[0]


def test_what_was_sent_must_not_add_directories() -> None:
    def subdir(instance: Instance) -> str:
        return str(instance.get("PatientID", "none")).replace("..", "").strip("/").replace("\0", "")

    [line] = problems(choose_subdir=subdir, choose_filename=by_uid)[:1]
    assert line.startswith("what was sent adds directories: 'slashes and ..' becomes 'a/b/c/")


@pytest.mark.parametrize(
    ("on_exists", "consequence"),
    [
        (None, "the second is stored as NAME~ and a hash, with a warning each time"),
        ("overwrite", "the second replaces the first"),
        ("refuse", "the second can never be stored"),
        ("retry", "no attempt finds a free name"),
    ],
)
def test_collisions(on_exists: Any, consequence: str) -> None:
    found = problems(choose_filename=lambda instance: Name("image", on_exists))
    assert len(found) == len(list(cases())) - 1
    assert found[0].startswith("collision: 'an ordinary image' and 'another image of the same series' both become 'im")
    assert consequence in found[0]


@pytest.mark.parametrize("on_exists", ["replace-same", "rename", "keep"])
def test_instances_that_are_kept_apart_on_purpose_do_not_collide(on_exists: Any) -> None:
    check_naming(hooks(choose_filename=lambda: Name("image", on_exists)))
    check_naming(hooks(choose_filename=lambda: "image"), on_duplicate=on_exists)


def test_names_that_are_tried_again_do_not_collide() -> None:
    check_naming(hooks(choose_filename=lambda instance: Name(f"image{instance.attempt}", "retry")))


def test_a_name_that_depends_on_what_came_before() -> None:
    seen: dict[str, int] = {}

    def filename(instance: Instance) -> str:
        return f"{seen.setdefault(instance.sop_class_uid, len(seen))}-{len(seen)}-{by_uid(instance)}-{count()}"

    calls = itertools.count()

    def count() -> int:
        return next(calls)

    assert all(line.startswith("not deterministic") for line in problems(choose_filename=filename))


def test_names_for_windows() -> None:
    plugin = hooks(
        choose_subdir=lambda instance: escape(str(instance.get("PatientID", "none"))),
        choose_filename=lambda instance: "x" if instance.get("PatientID") in ("p1", "P1") else by_uid(instance),
    )
    check_naming(plugin)
    with pytest.raises(AssertionError) as failure:
        check_naming(plugin, windows=True)
    refused = ("'NUL' cannot be a name", "'COM1.txt' cannot be a name", "'a.' cannot be a name")
    for text in (*refused, "'p1/x' and 'P1/x': one name there"):
        assert text in str(failure.value)


def test_options_and_settings_reach_the_plugin() -> None:
    roots: list[str] = []
    plugin = hooks(
        add_options=lambda options: options.add("--root", value="directory", default="here"),
        configure=lambda settings: roots.append(settings.for_plugin("SimpleNamespace")["root"]),
        choose_subdir=lambda instance: roots[-1],
    )
    assert check_naming(plugin)["an ordinary image"].startswith("here/")
    assert check_naming(plugin, options={"root": "there"})["an ordinary image"].startswith("there/")
    with pytest.raises(AssertionError, match="declares no option rot"):
        check_naming(plugin, options={"rot": "there"})


def test_what_is_no_naming_plugin() -> None:
    with pytest.raises(AssertionError, match="implements neither choose_subdir nor choose_filename"):
        check_naming(hooks(stored=lambda instance: None))
    with pytest.raises(PluginError):
        check_naming(object())


def test_parts_that_are_escaped_twice() -> None:
    def subdir(instance: Instance) -> str:
        return "/".join([escape(str(instance.get("PatientID", "none"))), "CT"])

    found = problems(choose_subdir=subdir, choose_filename=by_uid)
    assert len(found) > 5
    assert all(line.startswith("escaped twice: ") for line in found)
    [line] = [line for line in found if "slashes and .." in line]
    assert "'a_b_.._c~" in line
    assert "return dcmrecv_core.escape_directory([level, ...])" in line


@pytest.mark.parametrize(
    "escaped", [escape, lambda text: escape_directory(["x", text]), lambda text: escape(text, ".d")]
)
def test_parts_that_are_escaped_once(escaped: Callable[[str], str]) -> None:
    check_naming(hooks(choose_subdir=lambda instance: escaped(str(instance.get("PatientID", "none")))))
