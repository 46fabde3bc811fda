"""`+fu, --unique-filenames`: PREFIX.X.NEWUID, so that nothing is ever overwritten."""

from uuid import uuid4

from dcmrecv_core import Instance, Name, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> Name:
    new_uid = f"2.25.{uuid4().int}"  # PS3.5 B.2: a UUID as a UID needs no registered root
    return Name(f"{instance.modality_prefix}.X.{new_uid}", on_exists="retry")
