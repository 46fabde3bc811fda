"""What a plugin costs that has all elements of each instance decoded."""

from dcmrecv_core import Instance, Name, escape, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> Name:
    return escape(f"{instance.header.PatientID}.{instance.sop_instance_uid}")
