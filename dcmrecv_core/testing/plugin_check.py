"""`check_plugin`: does a plugin keep to the contract of its hooks, in process and in a receiver?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.api.version import API_VERSION
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.hooks.loader import Found, stated_of
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.hooks.promises import REQUIRED
from dcmrecv_core.testing.fakes import fake_settings
from dcmrecv_core.testing.hook_checks import HookChecks
from dcmrecv_core.testing.naming import NAMING_HOOKS, check_naming, found_plugin
from dcmrecv_core.testing.plugin_report import PluginCheckError, PluginReport
from dcmrecv_core.testing.receiver_checks import ReceiverChecks, spec_of


def check_plugin(
    plugin: Any,
    *,
    options: Mapping[str, Any] | None = None,
    arguments: Sequence[object] = (),
    seconds: float = 5.0,
    deterministic: bool = True,
    receiver: bool = True,
) -> PluginReport:
    """Run every hook of `plugin` (a module, an object, or what `--plugin` takes) on instances that are hard to read.

    In process: `configure`, then for each instance an association with all hooks. A finding is

    * an exception, or a result that the hook does not allow; a `StatusError` that refuses the instance is allowed;
    * a call that takes longer than `seconds`;
    * a `header` that is changed in place; a file of `instance.open()` that is not closed; a `write` that saves and
      returns None, or returns although `save` raised; a name with "retry" that does not follow `instance.attempt`;
    * a thread, a file or a connection that `configure` leaves open, a fork, a change of the working directory;
    * another decision about the same instance when it comes again after others (`deterministic`);
    * for a plugin that names, what `check_naming` finds.

    In a receiver, with `receiver`: the same instances from two senders at once to two workers, a reload, a killed
    worker, all deliveries, `--explain`; its log must name no failure of the plugin. That needs what `--plugin` can
    load: a module, the object `plugin` of a module, or a name. `arguments` are further options of its command line,
    `options` are values for those that the plugin declares, by key.

    Prints the report, and returns it. Raises PluginCheckError, an AssertionError with the report, if there is a
    finding: each names the line of the plugin to change. Raises PluginError for a plugin that cannot be loaded.
    """
    found = found_plugin(plugin)
    report = PluginReport(found.name)
    stated = stated_of(found, REQUIRED)
    report.checks["interface"] = f"{'.'.join(map(str, API_VERSION))}" + (f", it needs {stated}" if stated else "")
    values = _options(found, options or {}, report)
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as directory:
        output = Path(directory, "in-process")
        output.mkdir()
        checks = HookChecks(found, report, output, seconds)
        started = checks.start(fake_settings(options=values, output_directory=output, others={found.name: values}))
        report.checks["configure"] = _result(report, 0)
        if started:
            before = len(report.findings)
            checks.run(deterministic=deterministic)
            checks.stop()
            report.checks["hooks, in process"] = _result(report, before)
            if any(hook in checks.functions for hook in NAMING_HOOKS):
                _check_names(plugin, options, deterministic, report, checks)
        spec = spec_of(plugin, found)
        if not receiver or not started:
            report.checks["in a receiver"] = "not asked for" if started else "left out: it does not start"
        elif not spec:
            report.checks["in a receiver"] = "left out: no module has this object as `plugin`"
        else:
            given = words_of(found, options or {})
            ReceiverChecks(found, spec, (*given, *arguments), report, Path(directory), seconds).run()
    print(report)
    if report.findings:
        raise PluginCheckError(report)
    return report


def _result(report: PluginReport, before: int) -> str:
    return f"{len(report.findings) - before} findings" if len(report.findings) > before else "ok"


def _registry(found: Found) -> PluginOptionRegistry:
    plugins = Plugins()
    plugins.add(found, named=True)
    registry = PluginOptionRegistry(taken=BY_NAME)
    plugins.add_options(registry)
    return registry


def _options(found: Found, options: Mapping[str, Any], report: PluginReport) -> dict[str, Any]:
    words_of(found, options)
    values = {option.key: option.default for option in _registry(found)}
    report.checks["options"] = f"ok, {len(values)} declared"
    return {**values, **options}


def words_of(found: Found, options: Mapping[str, Any]) -> list[str]:
    """Options of a plugin as on the command line. Raises PluginError for one that it does not declare."""
    declared = {option.key: option for option in _registry(found)}
    words = []
    for key, value in options.items():
        if key not in declared:
            raise PluginError(f"plugin {found.name} declares no option {key}")
        option = declared[key]
        values = value if isinstance(value, list | tuple) else [value]
        if option.value is None:
            words += [option.long] if value else []
        else:
            words += [word for each in values for word in (option.long, str(each))]
    return words


def _check_names(
    plugin: Any, options: Mapping[str, Any] | None, deterministic: bool, report: PluginReport, checks: HookChecks
) -> None:
    before = len(report.findings)
    if any(finding.hook in NAMING_HOOKS for finding in report.findings):
        report.checks["names"] = "left out: the naming hooks have findings"
        return
    try:
        check_naming(plugin, options=options, deterministic=deterministic)
    except AssertionError as error:
        hook = next(hook for hook in reversed(NAMING_HOOKS) if hook in checks.functions)
        for line in str(error).splitlines()[1:]:
            report.add(checks.place_of(hook), hook, f"name: {line.strip()}", line.strip())
    report.checks["names"] = _result(report, before)
