"""Measures a plugin that decodes all elements of each instance."""

from dcmrecv_core import Instance, escape, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> str:
    return escape(f"{instance.header.PatientID}.{instance.sop_instance_uid}")
