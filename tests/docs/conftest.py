"""The environment in which the examples are executed."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from support.paths import ROOT
from support.programs.environment import make_environment

FORWARD = ROOT / "plugins" / "dcmrecv-forward"
"""The package that docs/forward.md installs."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for the commands of the pages: `python`, `pip` and `dcmrecv` of a new environment, with the extension
    packages that pages use."""
    try:
        distribution("dcmrecv")
        requirements = [FORWARD]
    except PackageNotFoundError:
        requirements = [ROOT, FORWARD]
    named = ("access", "actions", "deidentify", "index", "retention")
    requirements += [ROOT / "plugins" / f"dcmrecv-{name}" for name in named]
    home = make_environment(tmp_path_factory.mktemp("environment") / "venv", *requirements)
    scripts = home / "bin"
    pip = f'exec {sys.executable} -m pip --python {scripts / "python"} "$@"\n'
    main = "import sys; from dcmrecv_core.{} import main; sys.exit(main())"
    ours = {
        name: f'exec {scripts / "python"} -c "{main.format(module)}" "$@"\n'
        for name, module in (("dcmrecv", "cli"), ("dcmrecvctl", "ctl.main"))
    }
    for name, command in {"pip": pip, **ours}.items():
        script = scripts / name
        if not script.exists():
            script.write_text(f"#!/bin/sh\n{command}")
            script.chmod(0o755)
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    return {
        **os.environ,
        **offline,
        "VIRTUAL_ENV": str(home),
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
