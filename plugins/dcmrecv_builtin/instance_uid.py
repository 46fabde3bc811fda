"""`+fd, --default-filenames` (default): PREFIX.INSTANCEUID; a file of that name is overwritten."""

from dcmrecv_core import Instance, Name, escape, hookimpl


@hookimpl
def choose_filename(instance: Instance) -> Name:
    name = escape(f"{instance.modality_prefix}.{instance.sop_instance_uid}", portable=True)
    return Name(name, by_default="overwrite")  # as DCMTK dcmrecv; `--on-duplicate` may say otherwise
