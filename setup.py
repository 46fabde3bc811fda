"""The compiled parts of the receive path; all else is in pyproject.toml.

They are optional: where they cannot be compiled, the build goes on, and the program is the same in Python only.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

PARTS = {
    "dcmrecv_core.dataset.regular_walk": "dcmrecv_core/dataset/regular_walk.pyx",
    "dcmrecv_core.proto.regular_requests": "dcmrecv_core/proto/regular_requests.pyx",
}

setup(
    ext_modules=cythonize(
        [Extension(name, [source], optional=True) for name, source in PARTS.items()], build_dir="build/cython"
    )
)
