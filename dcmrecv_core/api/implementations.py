"""The types of `@hookimpl`: which functions can implement a hook, so that a type checker finds a wrong one.

A type checker does not see the name of the function that a decorator gets, only its arguments and its result. So these
are the combinations of arguments that an implementation may name, each with the results of all hooks that offer them;
twice, for functions and for methods, which have `self` besides. Arguments are passed by name: their order does not
count, another name is an error. A test compares this list with the hooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, overload

from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.outcomes import NotStoredOutcome, Series, StoredEvent, StoredOutcome, Study, Summary
from dcmrecv_core.api.services import Request, Response
from dcmrecv_core.api.settings import PluginSettings
from dcmrecv_core.api.verdicts import Name, NegotiateResult, ReceiveResult

if TYPE_CHECKING:
    from dcmrecv_core.api.options import PluginOptions

AssociationResult = NegotiateResult | Response
InstanceResult = ReceiveResult | Name | str | PurePath
WriteResult = str | PurePath | None
LocationResult = BinaryIO | bool | None
TargetsResult = Iterable[str] | None
SettingsResult = TargetsResult | str | PurePath
AnyResult = AssociationResult | InstanceResult | LocationResult | SettingsResult


class FunctionOfNothing(Protocol):
    def __call__(self) -> AnyResult: ...


class FunctionOfOptions(Protocol):
    def __call__(self, *, options: PluginOptions) -> None: ...


class FunctionOfSettings(Protocol):
    def __call__(self, *, settings: PluginSettings) -> SettingsResult: ...


class FunctionOfHook(Protocol):
    def __call__(self, *, hook: str) -> TargetsResult: ...


class FunctionOfSettingsHook(Protocol):
    def __call__(self, *, settings: PluginSettings, hook: str) -> TargetsResult: ...


class FunctionOfAssociation(Protocol):
    def __call__(self, *, association: Association) -> AssociationResult: ...


class FunctionOfRequest(Protocol):
    def __call__(self, *, request: Request) -> Response | None: ...


class FunctionOfAssociationRequest(Protocol):
    def __call__(self, *, association: Association, request: Request) -> Response | None: ...


class FunctionOfInstance(Protocol):
    def __call__(self, *, instance: Instance) -> InstanceResult: ...


class FunctionOfPath(Protocol):
    def __call__(self, *, path: str) -> WriteResult: ...


class FunctionOfInstancePath(Protocol):
    def __call__(self, *, instance: Instance, path: str) -> WriteResult: ...


class FunctionOfLocation(Protocol):
    def __call__(self, *, location: str) -> LocationResult: ...


class FunctionOfInstanceLocation(Protocol):
    def __call__(self, *, instance: Instance, location: str) -> None: ...


class FunctionOfStored(Protocol):
    def __call__(self, *, outcome: StoredOutcome) -> None: ...


class FunctionOfLocationStored(Protocol):
    def __call__(self, *, location: str, outcome: StoredOutcome) -> None: ...


class FunctionOfInstanceStored(Protocol):
    def __call__(self, *, instance: Instance, outcome: StoredOutcome) -> None: ...


class FunctionOfInstanceLocationStored(Protocol):
    def __call__(self, *, instance: Instance, location: str, outcome: StoredOutcome) -> None: ...


class FunctionOfNotStored(Protocol):
    def __call__(self, *, outcome: NotStoredOutcome) -> None: ...


class FunctionOfInstanceNotStored(Protocol):
    def __call__(self, *, instance: Instance, outcome: NotStoredOutcome) -> None: ...


class FunctionOfEvent(Protocol):
    def __call__(self, *, event: StoredEvent) -> WriteResult: ...


class FunctionOfTarget(Protocol):
    def __call__(self, *, target: str) -> None: ...


class FunctionOfEventTarget(Protocol):
    def __call__(self, *, event: StoredEvent, target: str) -> None: ...


class FunctionOfEvents(Protocol):
    def __call__(self, *, events: Sequence[StoredEvent]) -> None: ...


class FunctionOfEventsTarget(Protocol):
    def __call__(self, *, events: Sequence[StoredEvent], target: str) -> None: ...


class FunctionOfSeries(Protocol):
    def __call__(self, *, series: Series) -> None: ...


class FunctionOfSeriesTarget(Protocol):
    def __call__(self, *, series: Series, target: str) -> None: ...


class FunctionOfStudy(Protocol):
    def __call__(self, *, study: Study) -> None: ...


class FunctionOfStudyTarget(Protocol):
    def __call__(self, *, study: Study, target: str) -> None: ...


class FunctionOfSummary(Protocol):
    def __call__(self, *, summary: Summary) -> None: ...


class FunctionOfAssociationSummary(Protocol):
    def __call__(self, *, association: Association, summary: Summary) -> None: ...


class MethodOfNothing(Protocol):
    def __call__(_hook, self: Any) -> AnyResult: ...


class MethodOfOptions(Protocol):
    def __call__(_hook, self: Any, *, options: PluginOptions) -> None: ...


class MethodOfSettings(Protocol):
    def __call__(_hook, self: Any, *, settings: PluginSettings) -> SettingsResult: ...


class MethodOfHook(Protocol):
    def __call__(_hook, self: Any, *, hook: str) -> TargetsResult: ...


class MethodOfSettingsHook(Protocol):
    def __call__(_hook, self: Any, *, settings: PluginSettings, hook: str) -> TargetsResult: ...


class MethodOfAssociation(Protocol):
    def __call__(_hook, self: Any, *, association: Association) -> AssociationResult: ...


class MethodOfRequest(Protocol):
    def __call__(_hook, self: Any, *, request: Request) -> Response | None: ...


class MethodOfAssociationRequest(Protocol):
    def __call__(_hook, self: Any, *, association: Association, request: Request) -> Response | None: ...


class MethodOfInstance(Protocol):
    def __call__(_hook, self: Any, *, instance: Instance) -> InstanceResult: ...


class MethodOfPath(Protocol):
    def __call__(_hook, self: Any, *, path: str) -> WriteResult: ...


class MethodOfInstancePath(Protocol):
    def __call__(_hook, self: Any, *, instance: Instance, path: str) -> WriteResult: ...


class MethodOfLocation(Protocol):
    def __call__(_hook, self: Any, *, location: str) -> LocationResult: ...


class MethodOfInstanceLocation(Protocol):
    def __call__(_hook, self: Any, *, instance: Instance, location: str) -> None: ...


class MethodOfStored(Protocol):
    def __call__(_hook, self: Any, *, outcome: StoredOutcome) -> None: ...


class MethodOfLocationStored(Protocol):
    def __call__(_hook, self: Any, *, location: str, outcome: StoredOutcome) -> None: ...


class MethodOfInstanceStored(Protocol):
    def __call__(_hook, self: Any, *, instance: Instance, outcome: StoredOutcome) -> None: ...


class MethodOfInstanceLocationStored(Protocol):
    def __call__(_hook, self: Any, *, instance: Instance, location: str, outcome: StoredOutcome) -> None: ...


class MethodOfNotStored(Protocol):
    def __call__(_hook, self: Any, *, outcome: NotStoredOutcome) -> None: ...


class MethodOfInstanceNotStored(Protocol):
    def __call__(_hook, self: Any, *, instance: Instance, outcome: NotStoredOutcome) -> None: ...


class MethodOfEvent(Protocol):
    def __call__(_hook, self: Any, *, event: StoredEvent) -> WriteResult: ...


class MethodOfTarget(Protocol):
    def __call__(_hook, self: Any, *, target: str) -> None: ...


class MethodOfEventTarget(Protocol):
    def __call__(_hook, self: Any, *, event: StoredEvent, target: str) -> None: ...


class MethodOfEvents(Protocol):
    def __call__(_hook, self: Any, *, events: Sequence[StoredEvent]) -> None: ...


class MethodOfEventsTarget(Protocol):
    def __call__(_hook, self: Any, *, events: Sequence[StoredEvent], target: str) -> None: ...


class MethodOfSeries(Protocol):
    def __call__(_hook, self: Any, *, series: Series) -> None: ...


class MethodOfSeriesTarget(Protocol):
    def __call__(_hook, self: Any, *, series: Series, target: str) -> None: ...


class MethodOfStudy(Protocol):
    def __call__(_hook, self: Any, *, study: Study) -> None: ...


class MethodOfStudyTarget(Protocol):
    def __call__(_hook, self: Any, *, study: Study, target: str) -> None: ...


class MethodOfSummary(Protocol):
    def __call__(_hook, self: Any, *, summary: Summary) -> None: ...


class MethodOfAssociationSummary(Protocol):
    def __call__(_hook, self: Any, *, association: Association, summary: Summary) -> None: ...


Implementation = (
    FunctionOfNothing
    | FunctionOfOptions
    | FunctionOfSettings
    | FunctionOfHook
    | FunctionOfSettingsHook
    | FunctionOfAssociation
    | FunctionOfRequest
    | FunctionOfAssociationRequest
    | FunctionOfInstance
    | FunctionOfPath
    | FunctionOfInstancePath
    | FunctionOfLocation
    | FunctionOfInstanceLocation
    | FunctionOfStored
    | FunctionOfLocationStored
    | FunctionOfInstanceStored
    | FunctionOfInstanceLocationStored
    | FunctionOfNotStored
    | FunctionOfInstanceNotStored
    | FunctionOfEvent
    | FunctionOfTarget
    | FunctionOfEventTarget
    | FunctionOfEvents
    | FunctionOfEventsTarget
    | FunctionOfSeries
    | FunctionOfSeriesTarget
    | FunctionOfStudy
    | FunctionOfStudyTarget
    | FunctionOfSummary
    | FunctionOfAssociationSummary
    | MethodOfNothing
    | MethodOfOptions
    | MethodOfSettings
    | MethodOfHook
    | MethodOfSettingsHook
    | MethodOfAssociation
    | MethodOfRequest
    | MethodOfAssociationRequest
    | MethodOfInstance
    | MethodOfPath
    | MethodOfInstancePath
    | MethodOfLocation
    | MethodOfInstanceLocation
    | MethodOfStored
    | MethodOfLocationStored
    | MethodOfInstanceStored
    | MethodOfInstanceLocationStored
    | MethodOfNotStored
    | MethodOfInstanceNotStored
    | MethodOfEvent
    | MethodOfTarget
    | MethodOfEventTarget
    | MethodOfEvents
    | MethodOfEventsTarget
    | MethodOfSeries
    | MethodOfSeriesTarget
    | MethodOfStudy
    | MethodOfStudyTarget
    | MethodOfSummary
    | MethodOfAssociationSummary
)

F = TypeVar("F", bound=Implementation)


class HookImplementation(Protocol):
    """Marks a function or a method as the implementation of the hook of its name, or of `specname`.

    `tryfirst` and `trylast`: asked before or after the implementations of all other plugins, built-in ones included.
    """

    @overload
    def __call__(self, function: F) -> F: ...

    @overload
    def __call__(self, *, tryfirst: bool = False, trylast: bool = False, specname: str | None = None) -> Mark: ...


class Mark(Protocol):
    """What `hookimpl(tryfirst=True)` returns."""

    def __call__(self, function: F) -> F: ...
