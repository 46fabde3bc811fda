"""Fuzz targets: files of administrators. A mistake must raise a declared error, never cause a traceback."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from dcmrecv_builtin.layout.pattern import Layout
from dcmrecv_builtin.layout.syntax import LayoutError
from dcmrecv_core.api.errors import CommandLineError, ConfigurationError, PluginError
from dcmrecv_core.api.model import Instance
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config import commandline, settings_file
from dcmrecv_core.config.association_profiles import AssociationConfigurationError, load_profile
from dcmrecv_core.logs import appenders, filters, layouts
from dcmrecv_core.logs.properties import Properties, expand
from dcmrecv_core.storage.directories import split_path
from support.data.layout_instance import sample

SETTINGS = r"""
port = 104
output_directory = "out"
log_level = "debug"
log_config = 'log.cfg'
promiscuous = true
acse_timeout = 30
dimse_timeout = "unlimited"
max_pdu = 131072
max_associations = 64
on_duplicate = "number"
filename_extension = ".dcm"
layout = "{PatientID}/{SOPInstanceUID}"
plugin = ["./naming.py"]
tls_key_password = { env = "ABSENT" }
[[contexts]]
abstract_syntax = "VerificationSOPClass"
transfer_syntaxes = ["LittleEndianImplicit"]
[[contexts]]
abstract_syntaxes = ["CTImageStorage", "1.2.826.0.1.3680043.9.9999.1"]
role = "SCU"
extended = "0102"
[plugins.naming]
root = "ward-3"
keep_days = 30
share = 0.5
when = 1979-05-27T07:32:00Z
"""
LAYOUTS = (
    "{PatientID}/{StudyDate:%Y/%m/%d}/{Modality}_{SeriesNumber:04d}/{InstanceNumber:06d}.dcm",
    "{{{PatientID|none:upper}}}x{(0010,0020)}",
    '{"ACME 1.1",0029,01|none}/{"a|b:c}d",0029,01}/{RequestAttributesSequence[1]."ACME 1.1",0029,01}',
    "{ImageType[*]}/{RequestAttributesSequence.RequestedProcedureID:lower:[0:5]:hash12}",
    "{StudyDate:%y %j %b %B %a %A %G %V %u%%}{StudyTime:%I%p%H%M%S.%f}{AcquisitionDateTime:%Y-%m-%d_%H%M}",
    "{SliceThickness:06.2f}{InstanceNumber:+100:d}{Rows:1=one,512=many}{TemporalPositionIndex:-5:03d}",
    "{StudyInstanceUID:uid}{PatientID:uuid}{PatientName:md5}{InstitutionName:urlencoded}{random}{received:%H}",
    '{SeriesDescription||PatientID|a}{PatientName:family:drop("^ ")}{InstitutionName:replace("/""","-")}',
    r'{ImageComments:sub("^(x|y)+?[^a-c\d](.){2,3}$","\2-\0")}/{ImageType[-1]}{PatientName:ideographic:given}',
    "{calling_ae_title}_{called_ae_title}_{peer_address}/{sop_class_name}_{transfer_syntax_uid}/{modality_prefix}",
)
LOG_CONFIG = r"""
log4cplus.rootLogger = DEBUG, c, a
log4cplus.appender.c = log4cplus::ConsoleAppender
log4cplus.appender.c.logToStdErr = true
log4cplus.appender.c.Threshold = INFO
log4cplus.appender.c.ImmediateFlush = true
log4cplus.appender.c.layout = log4cplus::PatternLayout
log4cplus.appender.c.layout.ConversionPattern = %D{%Y-%m-%d %H:%M:%S.%q %Q} %-5p %.20c{2} %5.10P [%t] %r %b:%L %M %i %X{k} %% %m%n
log4cplus.appender.c.filters.1 = log4cplus::spi::LogLevelRangeFilter
log4cplus.appender.c.filters.1.LogLevelMin = DEBUG
log4cplus.appender.c.filters.1.AcceptOnMatch = true
log4cplus.appender.c.filters.2 = log4cplus::spi::StringMatchFilter
log4cplus.appender.c.filters.2.StringToMatch = te
log4cplus.appender.c.filters.3 = log4cplus::spi::DenyAllFilter
log4cplus.appender.a = log4cplus::AsyncAppender
log4cplus.appender.a.Appender = log4cplus::NullAppender
log4cplus.appender.a.layout = log4cplus::TTCCLayout
log4cplus.appender.a.layout.DateFormat = %H${name}
log4cplus.logger.dcmtk.dcmnet = WARN
log4cplus.additivity.dcmtk = false
name = ${pid}${date}${log4cplus.rootLogger}
"""  # noqa: E501
RECORD = logging.LogRecord("dcmrecv.net", logging.WARNING, __file__, 1, "text of %s\nin two lines", ("a peer",), None)


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """The name of an unlinked file."""
    descriptor = os.memfd_create("fuzz")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def fuzz_profile(data: bytes) -> None:
    with _file(data) as path, suppress(AssociationConfigurationError):
        load_profile(path, "DEF")


def fuzz_settings(data: bytes) -> None:
    with _file(data) as path, suppress(ConfigurationError, CommandLineError, PluginError):
        file = settings_file.read(path)
        file.plugin_values(PluginOptionRegistry(), ("naming",))
        commandline.parse(
            [], PluginOptionRegistry(), port_optional=False, program="dcmrecv", file_values=file.values, file_plugins={}
        )


@cache
def _instance() -> Instance:
    return sample()


def fuzz_layout(data: bytes) -> None:
    """Every accepted pattern gives paths below the output directory."""
    pattern = data.decode("utf-8", "surrogateescape")
    with suppress(LayoutError):
        layout = Layout(pattern)
        directory, name = layout.path(_instance())
        parts, last = split_path(f"{directory}/{name}" if directory else name, "/out")
        assert last == name and "/".join(parts) == directory


def fuzz_log_config(data: bytes) -> None:
    """All but appenders that open something: the fuzzer would choose their paths and hosts."""
    properties = Properties.parse(data)
    with suppress(ValueError):  # a variable expands without end: the only error
        properties = expand(properties, {"pid": "1", "date": "20200102"})
    for name, kind in (declared := properties.below("log4cplus.appender.")).items():
        if not any(word in kind for word in ("File", "SysLog")):
            own = declared.below(name + ".")
            handler = appenders.make_appender(name, kind, own, appenders.AppenderContext("/", "dcmrecv", set()))
            if handler is not None and handler.filter(RECORD):
                handler.format(RECORD)
        if "Layout" in kind:
            layouts.make_layout(kind, declared.below(name + ".")).format(RECORD)
        filters.level_of(kind)
