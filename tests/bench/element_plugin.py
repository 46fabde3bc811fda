"""What a plugin costs that reads one element of each instance."""

from dcmrecv_core import Instance, Name, escape, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> Name:
    return escape(f"{instance.get('PatientID')}.{instance.sop_instance_uid}")
