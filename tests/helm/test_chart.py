"""The Helm chart of docs/deploy/chart, checked and rendered by Helm. Without Helm all of this fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.docs.blocks import blocks_of
from support.paths import DOCS
from support.programs.receivers import run

CHART = DOCS / "deploy" / "chart"
SECRET = "existingSecret=passwords"
USER = 10104
LAST_SECONDS = 8
"""How long the receiver takes to end after the time of --drain."""


@pytest.fixture(scope="session")
def helm() -> str:
    path = shutil.which("helm")
    assert path, "Helm is not in PATH: go install helm.sh/helm/v3/cmd/helm@v3.19.4"
    return path


def render(helm: str, *settings: str, values: Path | None = None) -> dict[str, dict[str, Any]]:
    """The objects by their kinds."""
    words = [word for setting in settings for word in ("--set", setting)]
    files = ["--values", values] if values else []
    done = run(helm, "template", "site", CHART, *words, *files)
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    kinds = {each["kind"]: each for each in objects}
    assert len(kinds) == len(objects)
    return kinds


def test_lint(helm: str) -> None:
    done = run(helm, "lint", "--strict", CHART, "--set", SECRET)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_values_of_the_page(helm: str, tmp_path: Path) -> None:
    [values] = [block.text for block in blocks_of("cluster.md") if block.language == "yaml"]
    (tmp_path / "my-values.yaml").write_text(values)
    objects = render(helm, values=tmp_path / "my-values.yaml")
    assert set(objects) == {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"}
    assert objects["ConfigMap"]["data"]["node.toml"] == yaml.safe_load(values)["settings"]
    assert objects["Deployment"]["spec"]["replicas"] == 3
    assert container(objects)["image"] == "registry.example/dcmrecv:1"
    assert container(objects)["envFrom"] == [{"secretRef": {"name": "dcmrecv"}}]


def container(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    [only] = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_what_a_pod_may(helm: str) -> None:
    objects = render(helm, SECRET)
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["fsGroup"]) == (True, USER, USER)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == set(container(objects)["resources"])
    writable = [mount for mount in container(objects)["volumeMounts"] if not mount.get("readOnly")]
    assert writable == [{"name": "scratch", "mountPath": "/data"}]


def test_probes_and_ports(helm: str) -> None:
    objects = render(helm, SECRET)
    node = container(objects)
    paths = {kind: node[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {
        "startup": {"path": "/livez", "port": "http"},
        "liveness": {"path": "/livez", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
    }
    ports = {port["name"]: port["containerPort"] for port in node["ports"]}
    assert node["args"][-2:] == [f"0.0.0.0:{ports['http']}", str(ports["dicom"])]
    [port] = objects["Service"]["spec"]["ports"]
    assert port == {"name": "dicom", "port": 104, "targetPort": "dicom"}


def test_a_pod_that_ends_has_time_to_drain(helm: str) -> None:
    objects = render(helm, SECRET, "drainSeconds=77")
    node, pod = container(objects), objects["Deployment"]["spec"]["template"]["spec"]
    assert node["args"][node["args"].index("--drain") + 1] == "77"
    program, pause = node["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert pod["terminationGracePeriodSeconds"] > int(pause) + 77 + LAST_SECONDS


def test_all_objects_mean_the_same_pods(helm: str) -> None:
    objects = render(helm, SECRET)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    selector = objects["Deployment"]["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels
    assert objects["Service"]["spec"]["selector"] == selector
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector


def test_autoscaling(helm: str) -> None:
    objects = render(helm, SECRET, "autoscaling.enabled=true")
    assert "replicas" not in objects["Deployment"]["spec"], "it would be set back by each upgrade"
    [metric] = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "dcmrecv_associations_open"
    assert "`dcmrecv_associations_open`" in (DOCS / "metrics.md").read_text()


def test_secrets_in_values(helm: str) -> None:
    objects = render(helm, "secrets.JOURNAL=postgresql://d:p@h/d")
    assert objects["Secret"]["stringData"] == {"JOURNAL": "postgresql://d:p@h/d"}
    assert container(objects)["envFrom"] == [{"secretRef": {"name": objects["Secret"]["metadata"]["name"]}}]
    assert "Secret" not in render(helm, SECRET)


def test_pods_are_replaced_when_settings_or_secrets_change(helm: str) -> None:
    def sums(*settings: str) -> set[str]:
        annotations = render(helm, *settings)["Deployment"]["spec"]["template"]["metadata"]["annotations"]
        return {value for key, value in annotations.items() if key.startswith("checksum/")}

    first = sums("secrets.JOURNAL=a")
    assert len(first) == 2
    assert len(first & sums("secrets.JOURNAL=b")) == 1
    assert len(first & sums("secrets.JOURNAL=a", "settings=promiscuous = true")) == 1


def test_other_values(helm: str) -> None:
    objects = render(
        helm,
        SECRET,
        "serviceAccountName=images",
        "imagePullSecrets[0].name=registry",
        "env.AWS_REGION=eu-central-1",
        "nodeSelector.disk=fast",
        "tolerations[0].operator=Exists",
        "service.annotations.pool=inner",
        "service.loadBalancerSourceRanges[0]=192.0.2.0/24",
        "scratchSize=5Gi",
        "podDisruptionBudget.maxUnavailable=2",
    )
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "images"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["volumes"][1]["emptyDir"] == {"sizeLimit": "5Gi"}
    assert container(objects)["env"] == [{"name": "AWS_REGION", "value": "eu-central-1"}]
    assert objects["Service"]["metadata"]["annotations"] == {"pool": "inner"}
    assert objects["Service"]["spec"]["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 2


@pytest.mark.parametrize("settings", [(), (SECRET, "replica=3"), (SECRET, "replicas=0"), (SECRET, "drainSeconds=-1")])
def test_wrong_values_are_refused(helm: str, settings: tuple[str, ...]) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    done = run(helm, "template", "site", CHART, *words)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
