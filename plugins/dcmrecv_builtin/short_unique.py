"""`+fsu, --short-unique-names`: PREFIX_ and 16 random hexadecimal digits; existing names are skipped."""

import secrets

from dcmrecv_core import Instance, Name, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> Name:
    prefix = "XX" if instance.modality_prefix == "UNKNOWN" else instance.modality_prefix
    return Name(f"{prefix}_{secrets.token_hex(8)}", on_exists="retry")
