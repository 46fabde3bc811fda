"""A plugin that needs another interface is refused; one that uses what will be removed is warned, at its own line."""

from __future__ import annotations

import functools
import inspect
import operator
import warnings
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dcmrecv_core import API_VERSION, hookimpl
from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.hooks import promises
from dcmrecv_core.hooks.loader import Found, check
from support.plugins import FakeInstance, found, hooks, load

MINE = ".".join(map(str, API_VERSION))


@pytest.mark.parametrize("required", [f">={MINE}", f"=={MINE}", ">=0.1, <99", " > 0.1 ", "!=0.1", "<=99", "<99.0"])
def test_a_plugin_that_fits(required: str) -> None:
    check(found(SimpleNamespace(dcmrecv_api=required, receive=hookimpl(lambda: None))))


@pytest.mark.parametrize("required", [">=99", f">{MINE}", f"<{MINE}", f"!={MINE}", ">=0.1,<0.2", "==99.1"])
def test_a_plugin_that_does_not_fit(required: str) -> None:
    with pytest.raises(PluginError) as caught:
        check(found(SimpleNamespace(dcmrecv_api=required, receive=hookimpl(lambda: None))))
    assert str(caught.value) == f"plugin site: needs version {required} of the plugin interface; dcmrecv has {MINE}"


@pytest.mark.parametrize(("version", "fits"), [((1, 2), True), ((1, 10), True), ((1, 1), False), ((2, 0), False)])
def test_numbers_are_compared(version: tuple[int, int], fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "API_VERSION", version)
    if fits:
        promises.check_api("site", ">=1.2,<2")
    else:
        with pytest.raises(PluginError, match=rf"needs version >=1.2,<2 .*; dcmrecv has {version[0]}.{version[1]}"):
            promises.check_api("site", ">=1.2,<2")


@pytest.mark.parametrize("required", ["", "1.0", ">=1.0,", "~=1.0", ">=1.0.1", "latest", 1.0, (1, 0)])
def test_versions_that_cannot_be_read(required: object) -> None:
    with pytest.raises(PluginError, match=r'dcmrecv_api is a str like ">=1.0,<2", not '):
        promises.check_api("site", required)


def test_the_module_of_an_object_may_say_it() -> None:
    module = ModuleType("site")
    vars(module)["dcmrecv_api"] = ">=99"
    with pytest.raises(PluginError, match="needs version >=99"):
        check(Found("site", hooks(receive=lambda: None), "test", module=module))


# Deprecation


class _NamedLocation:
    """As a function of a library in C: without code."""

    __signature__ = inspect.Signature([inspect.Parameter("location", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
    __call__ = operator.itemgetter(0)


named_location = _NamedLocation()


@pytest.fixture
def deprecated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The argument `location` of `stored`, and the hook `worker_stopping`, are to be removed."""
    arguments = {"location": DeprecationWarning("location goes; use outcome")}
    monkeypatch.setitem(hookspecs.stored.dcmrecv_spec, "warn_on_impl_args", arguments)
    gone = DeprecationWarning("worker_stopping goes")
    monkeypatch.setitem(hookspecs.worker_stopping.dcmrecv_spec, "warn_on_impl", gone)
    yield


def told(*plugins: object) -> list[tuple[str, int]]:
    """The warnings: text and line; each names this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(*plugins)
    assert {warning.filename for warning in caught} <= {__file__}
    return [(str(warning.message), warning.lineno) for warning in caught]


def line_of(function: Any) -> int:
    return int(function.__code__.co_firstlineno)


@pytest.mark.usefixtures("deprecated")
def test_only_who_names_the_argument_is_warned() -> None:
    def with_it(location: str) -> None: ...
    def without_it(instance: object) -> None: ...

    assert told(hooks(stored=without_it), hooks(stored=lambda: None), hooks(receive=lambda: None)) == []
    assert told(hooks(stored=without_it), hooks(stored=with_it)) == [("location goes; use outcome", line_of(with_it))]


@pytest.mark.usefixtures("deprecated")
def test_a_hook_that_will_be_removed() -> None:
    def last() -> None: ...

    assert told(hooks(worker_stopping=last)) == [("worker_stopping goes", line_of(last))]


@pytest.mark.usefixtures("deprecated")
def test_methods_and_functions_of_other_names() -> None:
    class Plugin:
        @hookimpl
        def stored(self, location: str) -> None: ...

        @hookimpl(specname="worker_stopping")
        def close(self) -> None: ...

    expected = [("worker_stopping goes", line_of(Plugin.close)), ("location goes; use outcome", line_of(Plugin.stored))]
    assert told(Plugin()) == expected


@pytest.mark.usefixtures("deprecated")
def test_a_decorated_function_is_warned_where_it_is_written() -> None:
    def written(location: str) -> None: ...

    @functools.wraps(written)
    def around(*args: object, **kwargs: object) -> None: ...

    assert told(hooks(stored=around)) == [("location goes; use outcome", line_of(written))]


@pytest.mark.usefixtures("deprecated")
@pytest.mark.parametrize("callable_", [functools.partial(lambda location: None), None, named_location])
def test_a_callable_without_code(callable_: Any) -> None:
    class Callable:
        def __call__(self, location: str) -> None: ...

    plugin = hooks(stored=callable_ or Callable())
    with pytest.warns(DeprecationWarning, match="location goes"):
        load(plugin)


@pytest.mark.usefixtures("deprecated")
def test_it_still_works() -> None:
    seen: list[str] = []
    with pytest.warns(DeprecationWarning):
        plugins = load(hooks(stored=lambda location: seen.append(location)))
    plugins.stored(FakeInstance(), "here", None)  # type: ignore[arg-type]
    assert seen == ["here"]
