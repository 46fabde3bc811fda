"""The plugins of this receiver: registered in order, guarded, each hook a typed method.

Callers never touch pluggy's untyped relay. pluggy asks the last one registered first: built-in plugins are registered
before those named on the command line, and so are asked after them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import pluggy

from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.errors import CommandLineError, HookFailure, PluginError
from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.outcomes import DEFAULT_TARGET, NotStoredOutcome, StoredOutcome, Summary
from dcmrecv_core.api.services import Request, Response
from dcmrecv_core.api.verdicts import Accept, Also, Name, ReceiveResult, Reject, RejectReason, SupportedContext, Warn
from dcmrecv_core.dataset import digest
from dcmrecv_core.hooks import loader as plugin_loader
from dcmrecv_core.hooks import plugins_dir, tracing
from dcmrecv_core.hooks.guards import DELIVERY_HOOKS, guard, no_new_threads
from dcmrecv_core.hooks.limits import PluginLimits
from dcmrecv_core.hooks.loader import MARK, Found, needs_digest
from dcmrecv_core.hooks.promises import warn_of_deprecated

if TYPE_CHECKING:
    from dcmrecv_core.api.options import PluginOption, PluginOptionRegistry
    from dcmrecv_core.hooks.tracing import Observer
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.plugins")

STORAGE_HOOKS = frozenset({"receive", "choose_subdir", "choose_filename", "write", "stored", *DELIVERY_HOOKS})
"""If the user names a plugin that implements one of these, storage SOP classes are accepted by default."""


class _Manager(pluggy.PluginManager):
    """Leaves it to `warn_of_deprecated` to warn of hooks and arguments that will be removed."""

    def parse_hookspec_opts(self, module_or_class: object, name: str) -> Any:
        options = super().parse_hookspec_opts(module_or_class, name)  # type: ignore[arg-type]
        return options and {**options, "warn_on_impl": None, "warn_on_impl_args": None}


class Saving(Protocol):
    """An instance that knows what `save` has done."""

    @property
    def saved(self) -> Sized:
        """One item for each call of `save` that has stored it."""


class Facade:
    """A plugin as pluggy sees it: the same hooks, each in its guard."""


@dataclass(slots=True)
class Registered:
    """A plugin in use."""

    found: Found
    hooks: tuple[str, ...]
    facade: Facade = field(repr=False)
    named: bool


class Negotiated(NamedTuple):
    """What all plugins together said in `negotiate`, if none rejected.

    `contexts` is the union of the answers that stand instead of the default, None if there is none; `also` those that
    are added to whatever counts. A single plugin's tuple is passed on as it is, because caches compare by identity.
    """

    contexts: tuple[SupportedContext, ...] | None = None
    also: tuple[SupportedContext, ...] = ()
    identity_response: bytes | None = None
    """Of the first plugin that gave one. It belongs to this association alone: no cache may hold it."""


_NO_OPINION = Negotiated()


class Plugins:
    """All plugins of one receiver."""

    def __init__(self) -> None:
        self._manager = _Manager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._hook: Any = self._manager.hook
        self.registered: list[Registered] = []
        self.remarks: list[str] = []
        """What an administrator should know of how they were found."""
        self.limits = PluginLimits()
        self._without_return: set[str] = set()
        self._observer: Observer | None = None
        self._resolve()

    def _resolve(self) -> None:
        """Look up once which implementations are called at each stage, in pluggy's order: its own relay takes 3
        microseconds a call to find that out, and to see that there are no wrappers, which are refused."""
        self._negotiators = tuple(zip(self.order("negotiate"), self._implementations("negotiate"), strict=True))
        self.rejected_by = ""
        """The plugin that has rejected the last association for which `negotiate` returned that; "" if one failed."""
        self._serve = self._implementations("serve")
        judges = self._implementations("receive")
        self.judges: bool = bool(judges)
        """Whether a plugin judges instances; without one `receive` returns None."""
        self.receive: Callable[[Instance], ReceiveResult] = judges[0] if len(judges) == 1 else self._judge
        self._judges = tuple(zip(self.order("receive"), judges, strict=True))
        self.judged_by: str = self._judges[-1][0] if judges else ""
        """The plugin that has refused or discarded the last instance for which `receive` returned that."""
        self.choose_subdir: Callable[[Instance], str] = _first(self._implementations("choose_subdir"))
        self.choose_filename: Callable[[Instance], Name] = _first(self._implementations("choose_filename"))
        writers = self._implementations("write")
        self.write: Callable[[Saving, str], str] = writers[0] if len(writers) == 1 else self._write
        self._writers = tuple(zip(self.order("write"), writers, strict=True))
        listeners = self._implementations("stored")
        self.listens: bool = bool(listeners)
        """Whether a plugin wants to know what is stored."""
        self.stored: Callable[[Instance, str, StoredOutcome], None] = _all(listeners)
        self.not_stored: Callable[[Instance, NotStoredOutcome], None] = _all(self._implementations("not_stored"))
        self.association_accepted: Callable[[Association], None] = _all(self._implementations("association_accepted"))
        self.association_ended: Callable[[Association, Summary], None] = _all(
            self._implementations("association_ended")
        )

    def _implementations(self, hook: str) -> tuple[Callable[..., Any], ...]:
        return tuple(each.function for each in reversed(getattr(self._hook, hook).get_hookimpls()))

    def add(self, found: Found, *, named: bool = False) -> None:
        """Check and register a plugin; `named` if the user named it. Raises PluginError."""
        for other in self.registered:
            if other.found.source == found.source:
                raise PluginError(f"is loaded twice (also as {other.found.name})", plugin=found.name)
            if other.found.name == found.name:
                raise PluginError(f"there is another one of that name ({other.found.origin})", plugin=found.name)
        implementations = plugin_loader.check(found)
        for name, function in implementations.items():
            warn_of_deprecated(getattr(function, MARK).get("specname") or name, function)
        facade = self._guarded(found, implementations)
        try:
            self._manager.register(facade, found.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(str(error), plugin=found.name) from error
        self.registered.append(Registered(found, _hooks(implementations), facade, named))
        self._resolve()

    def _guarded(self, found: Found, implementations: dict[str, Any]) -> Facade:
        facade = Facade()
        built_in = found.origin == plugin_loader.BUILT_IN
        for name, function in implementations.items():
            marked = getattr(function, MARK)
            hook = marked.get("specname") or name
            guarded = guard(function, found.name, hook, self.limits, self._observer, built_in=built_in, locations=self)
            setattr(guarded, MARK, marked)
            setattr(facade, name, guarded)
        return facade

    def add_builtins(self, settings: Settings, observer: Observer | None = None) -> None:
        """Register the built-in plugins that the settings select, to be asked last; those from before are removed.

        From now on each call of a hook is reported to `observer`; without one, to the log if the settings say so.
        """
        observed = self._observer
        self._observer = observer or tracing.observer_for(settings)
        for registered in self.registered:
            self._manager.unregister(registered.facade)
        named = [registered for registered in self.registered if registered.found.origin != plugin_loader.BUILT_IN]
        self.registered = []
        for name in builtin_names(settings):
            self.add(plugin_loader.builtin(name))
        for registered in named:
            if self._observer is not observed:
                registered.facade = self._guarded(registered.found, plugin_loader.check(registered.found))
            self._manager.register(registered.facade, registered.found.name)
        self.registered += named
        self._resolve()

    def take_out(self) -> list[Registered]:
        """Remove all plugins, which `put_back` can bring back."""
        taken, self.registered = self.registered, []
        for facade in self._manager.get_plugins():
            self._manager.unregister(facade)
        self.remarks = []
        self._resolve()
        return taken

    def put_back(self, taken: list[Registered]) -> None:
        """Instead of those that are there now."""
        self.take_out()
        for registered in taken:
            self._manager.register(registered.facade, registered.found.name)
        self.registered = taken
        self._resolve()

    def add_options(self, options: PluginOptionRegistry) -> None:
        """Let each plugin declare its options under its own name. Raises PluginError."""
        for registered in self.registered:
            if "add_options" in registered.hooks:
                self._only(registered, "add_options")(options=options.of(registered.found.name))

    def configure(self, settings: Settings) -> None:
        """Hand out the settings. Raises PluginError if a plugin refuses them or starts a thread, or if it needs digests
        and the package for them is not installed; CommandLineError if that is so of the settings."""
        if self.takes_digests(settings):
            _check_digests(self._needs_digest)
        self._hook.configure(settings=settings)

    @property
    def _needs_digest(self) -> str:
        """The first plugin that needs digests, "" if none does."""
        return next((each.found.name for each in self.registered if needs_digest(each.found)), "")

    def takes_digests(self, settings: Settings) -> bool:
        """Whether events have the digests of data sets."""
        return settings.digest or bool(self._needs_digest)

    def names_storage(self) -> bool:
        """Whether a plugin that the user named has to do with storing."""
        return any(registered.named and STORAGE_HOOKS & set(registered.hooks) for registered in self.registered)

    def order(self, hook: str) -> tuple[str, ...]:
        """The names of the plugins that implement `hook`, in the order in which they are asked."""
        return tuple(
            implementation.plugin_name for implementation in reversed(getattr(self._hook, hook).get_hookimpls())
        )

    def several_writers(self) -> str:
        """A warning if more than one of the named plugins writes, "" if not."""
        built_in = {each.found.name for each in self.registered if each.found.origin == plugin_loader.BUILT_IN}
        writers = [name for name in self.order("write") if name not in built_in]
        if len(writers) < 2:
            return ""
        return (
            f"plugins {', '.join(writers[:-1])} and {writers[-1]} all store instances: {writers[0]} is asked first, "
            "the next one only if it returns None"
        )

    def implements(self, hook: str) -> bool:
        """Whether any plugin implements `hook`."""
        return any(hook in registered.hooks for registered in self.registered)

    def background(self, plugin: str, settings: Settings) -> None:
        """The hook of one plugin, for as long as it takes. Raises HookFailure, BackgroundStopped."""
        self.call(plugin, "background", settings=settings)

    def delivering(self, settings: Settings) -> tuple[str, ...]:
        """The plugins for which a journal is needed, because something is to be done after storing. Raises
        PluginError."""
        relocating = self.relocation(settings)
        others = (name for hook in DELIVERY_HOOKS if hook != "relocate" for name in self.order(hook))
        return (*([relocating[0]] if relocating else ()), *others)

    def relocation(self, settings: Settings) -> tuple[str, str] | None:
        """The plugin that relocates what is stored, and the directory from which; None if none does. Raises
        PluginError."""
        found = [
            (plugin, directory)
            for plugin in self.order("relocate")
            for directory in self.call(plugin, "relocate_from", settings=settings)
        ]
        if len(found) > 1:
            raise PluginError(f"relocates what is stored, as {found[0][0]} does", plugin=found[1][0])
        return found[0] if found else None

    def targets_of(self, plugin: str, hook: str, settings: Settings) -> tuple[str, ...]:
        """The targets of a plugin for one of the `DELIVERY_HOOKS` that it has. Raises PluginError."""
        if hook == "relocate":
            relocating = self.relocation(settings)
            return (DEFAULT_TARGET,) if relocating and relocating[0] == plugin else ()
        if hook == "deliver":
            found = self.call(plugin, "delivery_targets", settings=settings)
        else:
            found = self.call(plugin, "completion_targets", settings=settings, hook=hook)
        [targets] = found or [(DEFAULT_TARGET,)]
        return tuple(targets)

    def call(self, plugin: str, hook: str, /, **arguments: Any) -> Any:
        """Call a hook of one plugin only: a list with its result, empty if it is None or there is no such hook.

        Raises what the guard of the hook raises.
        """
        for registered in self.registered:
            if registered.found.name == plugin:
                return self._only(registered, hook)(**arguments)
        return []

    def worker_started(self, settings: Settings) -> None:
        """Raises HookFailure: the worker must not serve without its connections."""
        self._hook.worker_started(settings=settings)

    def worker_stopping(self) -> None:
        self._hook.worker_stopping()

    def negotiate(self, association: Association) -> Negotiated | Reject:
        """All answers together; a Reject if any plugin rejects or fails."""
        try:
            answers = [(name, answer) for name, call in self._negotiators if (answer := call(association)) is not None]
        except HookFailure:
            self.rejected_by = ""
            return Reject(RejectReason.NO_REASON, transient=True)
        if not answers:
            return _NO_OPINION
        instead: list[tuple[SupportedContext, ...]] = []
        also: list[tuple[SupportedContext, ...]] = []
        identity_response = None
        for name, answer in answers:
            if isinstance(answer, Reject):
                self.rejected_by = name
                return answer
            if isinstance(answer, Also):
                also.append(answer.contexts)
            elif isinstance(answer, Accept):
                instead.append(answer.contexts)
                if identity_response is None:
                    identity_response = answer.identity_response
            else:
                instead.append(answer)
        return Negotiated(_union(instead) if instead else None, _union(also), identity_response)

    def serve(self, association: Association, request: Request) -> tuple[str, Response] | None:
        """The first plugin with a response to a DIMSE-N request, and that; None if no plugin serves it. Raises
        StatusError."""
        for plugin, call in zip(self.order("serve"), self._serve, strict=True):
            response = call(association, request)
            if response is not None:
                return plugin, response
        return None

    def _judge(self, instance: Instance) -> ReceiveResult:
        """Asks one after the other until one refuses or discards the instance; else the first warning counts.

        A warning does not end it: the next plugin may be one that removes names from the data.
        """
        warning: Warn | None = None
        for name, call in self._judges:
            result: ReceiveResult = call(instance)
            if isinstance(result, Warn):
                warning = warning or result
            elif result is not None:
                self.judged_by = name
                return result
        return warning

    def _write(self, instance: Saving, path: str) -> Any:
        """Asks one after the other for a location, and says which plugin has stored the instance without naming it."""
        for name, call in self._writers:
            before = len(instance.saved)
            location = call(instance, path)
            if location is not None:
                return location
            if len(instance.saved) > before and name not in self._without_return:
                self._without_return.add(name)
                log.warning(
                    "plugin %s: write has saved an instance and returned None, so the next plugin stores it again: "
                    "return what instance.save returns (for a further copy call instance.save_copy)",
                    name,
                )
        return None

    def open_location(self, location: str) -> BinaryIO:
        """What is stored there. Raises OSError, LookupError if no plugin knows it, PluginError if one fails."""
        opened: BinaryIO | None = self._at_location("open_location", location)
        if opened is None:
            raise LookupError(f"no plugin can open {location}")
        return opened

    def remove_location(self, location: str) -> bool:
        """Whether it is gone. Raises as `open_location`."""
        removed: bool | None = self._at_location("remove_location", location)
        if removed is None:
            raise LookupError(f"no plugin can remove {location}")
        return removed

    def _at_location(self, hook: str, location: str) -> Any:
        timer = self.limits.timer
        was_running = timer.suspend()  # as `save`: another plugin's time, and that of the disk
        try:
            return _first(self._implementations(hook))(location)
        finally:
            timer.resume(was_running)

    def _only(self, registered: Registered, hook: str) -> Any:
        """The relay to one plugin's implementation of `hook`."""
        others = [other.facade for other in self.registered if other is not registered]
        return self._manager.subset_hook_caller(hook, others)


def _union(answers: list[tuple[SupportedContext, ...]]) -> tuple[SupportedContext, ...]:
    return answers[0] if len(answers) == 1 else tuple(context for contexts in answers for context in contexts)


def _check_digests(plugin: str) -> None:
    if not digest.is_available():
        text = f"needs the package xxhash: install {digest.EXTRA}"
        raise PluginError(text, plugin=plugin) if plugin else CommandLineError(f"--digest {text}")


def _first(implementations: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    """Asks one after the other for a result that is not None."""
    if len(implementations) == 1:
        return implementations[0]

    def first(*args: object) -> Any:
        for call in implementations:
            result = call(*args)
            if result is not None:
                return result
        return None

    return first


def _all(implementations: tuple[Callable[..., Any], ...]) -> Callable[..., None]:
    def all_of_them(*args: object) -> None:
        for call in implementations:
            call(*args)

    return all_of_them


def load_directories(directories: Iterable[str], before: Plugins | None = None) -> Plugins:
    """All that `--plugins-dir` names, directory by directory in this order, after those of `before`.

    Raises PluginError.
    """
    plugins = before or Plugins()
    for directory in directories:
        with no_new_threads(directory):
            for found in plugins_dir.find_all(directory, plugins.remarks):
                plugins.add(found, named=True)
    return plugins


def load_named(specs: Iterable[str], before: Plugins | None = None) -> Plugins:
    """The plugins that `--plugin` names, in that order, after those of `before`, without the built-in ones.

    Raises PluginError.
    """
    plugins = before or Plugins()
    for spec in specs:
        with no_new_threads(spec):
            plugins.add(plugin_loader.find(spec), named=True)
    return plugins


def declared_options(found: Found, taken: Container[str]) -> tuple[PluginOption, ...]:
    """The options of a plugin that is not in use: only its `add_options` is called. `taken` are the receiver's own
    names. Raises PluginError."""
    from dcmrecv_core.api.options import PluginOptionRegistry

    registry = PluginOptionRegistry(taken)
    alone = Plugins()
    alone.add(found)
    alone.add_options(registry)
    return tuple(registry)


def hooks_of(found: Found) -> tuple[str, ...]:
    """The hooks that a plugin implements. Raises PluginError if it cannot work as meant."""
    return _hooks(plugin_loader.check(found))


def _hooks(implementations: dict[str, Any]) -> tuple[str, ...]:
    names = {getattr(function, MARK).get("specname") or name for name, function in implementations.items()}
    return tuple(hook for hook in plugin_loader.HOOKS if hook in names)


def builtin_names(settings: Settings) -> list[str]:
    """The built-in plugins that the settings select; the last one is asked first."""
    names = ["file-writer", settings.filenames, settings.subdirs]
    if settings.layout is not None:
        names.append("layout")
    if settings.promiscuous:  # asked after those that prefer some transfer syntaxes
        names.append("promiscuous")
    if settings.config_file:
        names.append("profile")
    if settings.contexts:
        names.append("contexts")
    if settings.ignore:
        names.append("ignore")
    return names
