"""What a plugin and the receiver promise each other: the versions of the interface that it needs, and what will go."""

from __future__ import annotations

import inspect
import operator
import re
import warnings
from collections.abc import Callable
from typing import Any

from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.version import API_VERSION
from dcmrecv_core.hooks.places import code_of

REQUIRED = "dcmrecv_api"
"""The attribute of a plugin, or of its module, with the versions of the interface that it works with."""

DIGEST = "dcmrecv_digest"
"""The attribute of a plugin, or of its module, that is true if it needs `StoredEvent.digest`."""

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARISON = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\d+)(?:\.(\d+))?\s*")


def check_api(plugin: str, required: object) -> None:
    """Whether this receiver has the interface that `plugin` says it needs. Raises PluginError with both versions."""
    comparisons = [_COMPARISON.fullmatch(part) for part in required.split(",")] if isinstance(required, str) else [None]
    for comparison in comparisons:
        if comparison is None:
            raise PluginError(f'{REQUIRED} is a str like ">=1.0,<2", not {required!r}', plugin=plugin)
        sign, major, minor = comparison.groups()
        if not _COMPARISONS[sign](API_VERSION, (int(major), int(minor or 0))):
            mine = ".".join(map(str, API_VERSION))
            raise PluginError(f"needs version {required} of the plugin interface; dcmrecv has {mine}", plugin=plugin)


def warn_of_deprecated(hook: str, function: Callable[..., Any]) -> None:
    """Warn, at the line of `function`, if it implements a hook or names an argument that will be removed.

    pluggy would do that for `warn_on_impl` and `warn_on_impl_args`; but it gets the guard, which is ours and takes all
    arguments.
    """
    options: dict[str, Any] = getattr(getattr(hookspecs, hook), f"{hookspecs.PROJECT}_spec")
    named = inspect.signature(function).parameters
    arguments: dict[str, Warning] = options["warn_on_impl_args"] or {}
    for warning in (options["warn_on_impl"], *(arguments[name] for name in arguments if name in named)):
        if warning is not None:
            code = code_of(function)
            if code is None:
                warnings.warn(warning, stacklevel=2)  # of a library in C: there is no line to show
            else:
                warnings.warn_explicit(warning, type(warning), filename=code.co_filename, lineno=code.co_firstlineno)
