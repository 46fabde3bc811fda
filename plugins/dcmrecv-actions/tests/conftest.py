pytest_plugins = ["dcmrecv_core.testing"]
