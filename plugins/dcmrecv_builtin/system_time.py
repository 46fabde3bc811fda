"""`+fst, --system-time-names`: YYYYMMDDHHMMSS.ffffff.PREFIX by the local clock; existing names are skipped."""

from datetime import datetime

from dcmrecv_core import Instance, Name, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> Name:
    return Name(f"{datetime.now():%Y%m%d%H%M%S.%f}.{instance.modality_prefix}", on_exists="retry")
