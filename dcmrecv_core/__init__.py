"""A DICOM storage receiver (Storage and Verification SCP) whose every stage is a plugin hook.

The way of an instance, with the folder for each step (docs/architecture.md has it drawn):

    command line, settings file -> Settings                             cli.py, start.py, config/, settings/
    connection -> A-ASSOCIATE-RQ -> an idle worker                      net/supervisor/
      -> hook negotiate -> A-ASSOCIATE-AC or -RJ                        net/worker/, proto/
    P-DATA-TF -> command set, fragments of a data set                   proto/
      -> spooled in memory or in an unnamed file                        receive/, storage/
        -> its structure checked, its elements found                    dataset/
          -> hooks receive, choose_subdir, choose_filename, write       api/hookspecs.py, hooks/
            -> a file under its name, whole and durable                 storage/
              -> hook stored                                            hooks/
                -> C-STORE-RSP                                          proto/, net/worker/
                  -> hooks deliver, study_completed                     delivery/

Besides: `counters/`, what is counted; `logs/`, log lines; `inspection/`, `--explain` and `--list-plugins`; `ctl/`, the
program dcmrecvctl; `testing/`, the kit for plugins' tests; `compiled.py`, which finds the compiled parts; `process.py`,
what the program does to its own process. Each folder opens with a map of its modules; imports go down only (the
contracts in pyproject.toml).

What this module re-exports is the public interface: all that a plugin may import.
"""

from typing import TYPE_CHECKING

from dcmrecv_core.api.cloud_events import cloud_event, cloud_event_source
from dcmrecv_core.api.errors import (
    ConfigurationError,
    NameTakenError,
    PluginError,
    StateDirectoryError,
    StatusError,
    StorageError,
    TryAgain,
    Undeliverable,
)
from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.api.hookspecs import hookimpl
from dcmrecv_core.api.model import Association, Instance, ProposedContext, RawElement, TagLike, UserIdentity
from dcmrecv_core.api.names import escape, escape_directory
from dcmrecv_core.api.options import PluginOptions
from dcmrecv_core.api.outcomes import (
    Ended,
    HowStored,
    NotStoredOutcome,
    Series,
    StoredEvent,
    StoredOutcome,
    Study,
    Summary,
)
from dcmrecv_core.api.services import Command, EventReport, Request, Response, Service
from dcmrecv_core.api.settings import PluginCounter, PluginSettings
from dcmrecv_core.api.verdicts import (
    Accept,
    Also,
    Discard,
    Name,
    NegotiateResult,
    OnExists,
    ReceiveResult,
    Refuse,
    Reject,
    RejectReason,
    Role,
    SupportedContext,
    Warn,
)
from dcmrecv_core.api.version import API_VERSION, __version__
from dcmrecv_core.config.association_profiles import load_profile
from dcmrecv_core.dataset.character_sets import codecs_of
from dcmrecv_core.dataset.values import decode_text
from dcmrecv_core.delivery.mark import DeliveryMark
from dcmrecv_core.delivery.unfinished import unfinished_studies
from dcmrecv_core.receive.stored_files import (
    StoredFile,
    examine_stored,
    open_stored,
    read_elements,
    read_header,
    remove_stored,
    stored_place,
)
from dcmrecv_core.settings.uids import is_other_service, modality_prefix, name_of, uid_of

if TYPE_CHECKING:
    from dcmrecv_core.counters.document import (
        AllDurations,
        AssociationCounts,
        AssociationStatus,
        Counters,
        Durations,
        HookTime,
        InstanceCounts,
        Listening,
        OutputStatus,
        PluginCount,
        QueueStatus,
        RefusalCount,
        RefusalStatus,
        RunningHook,
        Totals,
        WorkerStatus,
    )
    from dcmrecv_core.net.control.reading import read_counters

__all__ = [
    "API_VERSION",
    "Accept",
    "AllDurations",
    "Also",
    "Association",
    "AssociationCounts",
    "AssociationStatus",
    "Command",
    "ConfigurationError",
    "Counters",
    "DeliveryMark",
    "Discard",
    "Durations",
    "Ended",
    "EventReport",
    "HookTime",
    "HowStored",
    "Instance",
    "InstanceCounts",
    "Listening",
    "Name",
    "NameTakenError",
    "NegotiateResult",
    "NotStoredOutcome",
    "OnExists",
    "OutputStatus",
    "PluginCount",
    "PluginCounter",
    "PluginError",
    "PluginOptions",
    "PluginSettings",
    "ProposedContext",
    "QueueStatus",
    "RawElement",
    "ReceiveResult",
    "RefusalCount",
    "RefusalStatus",
    "Refuse",
    "Reject",
    "RejectReason",
    "Request",
    "Response",
    "Role",
    "RunningHook",
    "Series",
    "Service",
    "StateDirectoryError",
    "StatusError",
    "StorageError",
    "StoredEvent",
    "StoredFile",
    "StoredOutcome",
    "Study",
    "Summary",
    "SupportedContext",
    "TagLike",
    "Totals",
    "TryAgain",
    "Undeliverable",
    "UserIdentity",
    "Warn",
    "WorkerStatus",
    "__version__",
    "cloud_event",
    "cloud_event_source",
    "codecs_of",
    "decode_text",
    "did_you_mean",
    "escape",
    "escape_directory",
    "examine_stored",
    "hookimpl",
    "is_other_service",
    "load_profile",
    "modality_prefix",
    "name_of",
    "open_stored",
    "read_counters",
    "read_elements",
    "read_header",
    "remove_stored",
    "stored_place",
    "uid_of",
    "unfinished_studies",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """What readers of counters need is loaded when it is first asked for: it would take a tenth of each start."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from dcmrecv_core.counters import document
        from dcmrecv_core.net.control import reading

        return getattr(reading if name == "read_counters" else document, name)
