"""The compiled parts of the receive path; all else is in pyproject.toml.

They are optional: where they cannot be compiled, the build goes on, and the program is the same in Python only.
"""

from Cython.Build import cythonize
from setuptools import setup

PARTS = ["dcmrecv_core/dataset/regular_walk.pyx", "dcmrecv_core/proto/regular_requests.pyx"]

extensions = cythonize(PARTS, build_dir="build/cython")
for extension in extensions:
    extension.optional = True
setup(ext_modules=extensions)
