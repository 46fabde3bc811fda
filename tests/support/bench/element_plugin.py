"""Measures a plugin that reads one element of each instance."""

from dcmrecv_core import Instance, escape, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> str:
    return escape(f"{instance.get('PatientID')}.{instance.sop_instance_uid}")
