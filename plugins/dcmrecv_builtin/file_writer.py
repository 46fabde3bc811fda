"""Write the instance as a DICOM file below the output directory. Asked last: any other plugin's `write` goes first."""

from dcmrecv_core import Instance, hookimpl


@hookimpl(trylast=True)
def write(instance: Instance, path: str) -> str:
    return instance.save(path)
