"""Write the instance as a DICOM file below the output directory; a `write` of any named plugin is asked before."""

from dcmrecv_core import Instance, hookimpl


@hookimpl
def write(instance: Instance, path: str) -> str:
    return instance.save(path)
