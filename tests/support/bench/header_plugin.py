"""What a plugin costs that has all elements of each instance decoded."""

from dcmrecv_core import Instance, escape, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> str:
    return escape(f"{instance.header.PatientID}.{instance.sop_instance_uid}")
