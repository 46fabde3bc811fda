"""A DICOM storage receiver (Storage and Verification SCP) whose every stage is a plugin hook.

The way of an instance:

    socket bytes -> PDU -> PDV -> command set / data set fragments      proto/   (no I/O)
      -> Instance, spooled in memory or on disk                          receive/
        -> hooks: receive, choose_subdir, choose_filename, write         plugins.py, hookspecs.py
          -> file published atomically -> hook: stored                   receive/
            -> C-STORE-RSP                                               proto/
    before it all: A-ASSOCIATE-RQ -> hook: negotiate -> A-ASSOCIATE-AC or -RJ

`net/` owns the sockets, processes, signals and clocks and joins the two; `cli.py` turns a command line into settings.
What stands here is the public interface: all that a plugin may import.
"""

from dcmrecv_core.asconfig import load_profile
from dcmrecv_core.character_sets import codecs_of
from dcmrecv_core.errors import ConfigurationError, PluginError, StatusError, StorageError
from dcmrecv_core.hookspecs import hookimpl
from dcmrecv_core.model import (
    Association,
    Discard,
    Instance,
    Name,
    ProposedContext,
    RawElement,
    Refuse,
    Reject,
    RejectReason,
    Role,
    Summary,
    SupportedContext,
    UserIdentity,
    Warn,
)
from dcmrecv_core.names import escape, escape_directory
from dcmrecv_core.plugin_options import PluginOptions
from dcmrecv_core.settings import Settings
from dcmrecv_core.uids import is_other_service, modality_prefix, name_of, uid_of
from dcmrecv_core.version import API_VERSION, __version__

__all__ = [
    "API_VERSION",
    "Association",
    "ConfigurationError",
    "Discard",
    "Instance",
    "Name",
    "PluginError",
    "PluginOptions",
    "ProposedContext",
    "RawElement",
    "Refuse",
    "Reject",
    "RejectReason",
    "Role",
    "Settings",
    "StatusError",
    "StorageError",
    "Summary",
    "SupportedContext",
    "UserIdentity",
    "Warn",
    "__version__",
    "codecs_of",
    "escape",
    "escape_directory",
    "hookimpl",
    "is_other_service",
    "load_profile",
    "modality_prefix",
    "name_of",
    "uid_of",
]
