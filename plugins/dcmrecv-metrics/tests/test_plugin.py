"""The plugin in a receiver: what it shows agrees with what senders did."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import refusing
from prometheus_client.parser import text_string_to_metric_families
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from serving import SOON, Served, free_address, server_of, start, start_in

from dcmrecv_core.testing import StartReceiver, sample_dataset, until
from dcmrecv_metrics import MetricsPlugin

HOSTILE = "<script>alert(1)"  # as long as a title may be
PATIENT = "VERYSECRET^NAME"
PAGES = ("/", "/metrics", "/readyz", "/status.json", "/livez")


def metrics(served: Served) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in the order of their names."""
    code, body = served.get("/metrics")
    assert code == 200
    return {
        (sample.name, *[sample.labels[label] for label in sorted(sample.labels)]): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, timeout=10)
    try:
        yield place
    finally:
        while os.path.ismount(place):
            subprocess.run(["umount", "-l", place], check=True, timeout=10)


@contextmanager
def connected(served: Served, title: str) -> Iterator[None]:
    entity = AE(ae_title=title)
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", served.receiver.port)
    assert association.is_established
    try:
        yield
    finally:
        association.release()


def test_metrics_agree_with_what_senders_did(start_receiver: StartReceiver) -> None:
    served = start(start_receiver, plugins=[refusing])
    receiver = served.receiver
    images = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(7)]
    receiver.send(*images[:5])
    receiver.send(*images[5:6], calling_ae_title="DISCARD")
    assert receiver.send(*images[5:], calling_ae_title="REFUSE") == [0xA700, 0xA700]
    receiver.send()
    receiver.expect_rejection(calling_ae_title="REJECT")

    expected = {
        ("dcmrecv_associations_total", "accepted"): 4,
        ("dcmrecv_associations_total", "rejected"): 1,
        ("dcmrecv_associations_ended_total", "released"): 4,
        ("dcmrecv_associations_open",): 0,
        ("dcmrecv_instances_total", "stored"): 5,
        ("dcmrecv_instances_total", "refused"): 2,
        ("dcmrecv_instances_total", "discarded"): 1,
        ("dcmrecv_echoes_total",): 1,
        ("dcmrecv_instance_duration_seconds_count",): 8,
        ("dcmrecv_instance_duration_seconds_bucket", "+Inf"): 8,
        ("dcmrecv_association_duration_seconds_count",): 4,
        ("dcmrecv_refusals_total", "instance", "plugin refusing", "A700"): 2,
        ("dcmrecv_plugin_calls_total", "receive", "refusing"): 8,
        ("dcmrecv_state", "ready"): 1,
    }

    def differing() -> dict[tuple[str, ...], float | None]:
        found = metrics(served)
        return {key: found.get(key) for key, value in expected.items() if found.get(key) != value}

    until(lambda: not differing(), "the values that senders know", log=lambda: str(differing()))
    found = metrics(served)
    assert sum(value for key, value in found.items() if key[:2] == ("dcmrecv_refusals_total", "association")) == 1
    assert found["dcmrecv_received_bytes_total",] > 8 * 100
    assert 0 < found["dcmrecv_plugin_seconds_total", "receive", "refusing"] < 60
    until(lambda: metrics(served)["dcmrecv_workers", "idle"] >= 1, "an idle worker")


def test_who_is_connected_with_a_hostile_title(start_receiver: StartReceiver) -> None:
    served = start(start_receiver)
    with connected(served, HOSTILE):
        until(lambda: "&lt;script&gt;alert(1)" in served.get("/")[1], "the sender on the page")
        assert "<script" not in served.get("/")[1]
        assert HOSTILE in [
            each["calling_ae_title"] for each in json.loads(served.get("/status.json")[1])["associations"]
        ]
        assert "script" not in served.get("/metrics")[1]
    until(lambda: "Nobody is connected." in served.get("/")[1], "it is gone")


def test_no_name_of_a_patient(start_receiver: StartReceiver) -> None:
    served = start(start_receiver, "--layout", "{PatientName}/{SOPInstanceUID}")
    image = sample_dataset(PatientName=PATIENT)
    image.PatientID = "VERYSECRETNUMBER"
    assert served.receiver.send(image) == [0]
    [folder] = [path for path in served.receiver.output.iterdir() if not path.name.startswith(".")]
    assert "VERYSECRET" in folder.name, "the name is in a path that errors may quote"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.touch()
    assert served.receiver.send(image) == [0xA700]
    until(lambda: "A700" in served.get("/")[1], "the refusal on the page")
    for page in PAGES:
        assert "VERYSECRET" not in served.get(page)[1]


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "receiver" / "out", "size=4m") as place:
        served = start_in(tmp_path / "receiver", "--min-free", "1M")
        try:
            assert served.get("/readyz") == (200, "ready\n")
            (place / "filling").write_bytes(bytes(3_500_000))
            assert served.seconds_until(lambda answer: answer[0] == 503) < SOON
            text = served.get("/readyz")[1]
            assert text.startswith(f"not ready\n{place} has ") and "less than --min-free" in text
            assert "Not ready" in served.get("/")[1]
            (place / "filling").unlink()
            assert served.seconds_until(lambda answer: answer[0] == 200) < SOON
        finally:
            served.receiver.kill()


def test_a_disk_without_space_and_without_a_limit(tmp_path: Path) -> None:
    with mounted(tmp_path / "receiver" / "out", "size=1m") as place:
        served = start_in(tmp_path / "receiver")
        try:
            with suppress(OSError):
                (place / "filling").write_bytes(bytes(2_000_000))
            assert (
                served.seconds_until(lambda answer: answer == (503, f"not ready\n{place} has no space left\n")) < SOON
            )
        finally:
            served.receiver.kill()


def test_an_unmounted_directory(tmp_path: Path) -> None:
    with mounted(tmp_path / "receiver" / "out", "size=4m") as place:
        served = start_in(tmp_path / "receiver")
        try:
            subprocess.run(["umount", "-l", place], check=True, timeout=10)
            assert served.seconds_until(lambda answer: answer == (503, f"not ready\n{place} is not mounted\n")) < SOON
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True, timeout=10)
            assert served.seconds_until(lambda answer: answer == (200, "ready\n")) < SOON
        finally:
            served.receiver.kill()


def test_a_drain(start_receiver: StartReceiver) -> None:
    served = start(start_receiver, "--drain", "100")
    with connected(served, "CT1"):
        served.receiver.process.send_signal(signal.SIGTERM)
        assert served.seconds_until(lambda answer: answer == (503, "draining\n")) < SOON
        assert served.get("/livez")[0] == 200
        assert "Draining" in served.get("/")[1] and "CT1" in served.get("/")[1]
    assert served.receiver.process.wait(20) == 0


def test_an_upgrade(start_receiver: StartReceiver) -> None:
    served = start(start_receiver)
    before = server_of(served)
    command = "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"
    words = [sys.executable, "-c", command, "--state-dir", served.receiver.state_directory, "upgrade"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stderr}{served.receiver.log}"
    until(lambda: not Path(f"/proc/{before}").exists() and served.answers(), "the new one serves")
    assert "cannot listen" not in served.receiver.log
    os.kill(json.loads(served.get("/status.json")[1])["pid"], signal.SIGTERM)
    until(lambda: not served.answers(), "its end")


def test_slow_clients_disturb_neither_pages_nor_senders(start_receiver: StartReceiver) -> None:
    served = start(start_receiver)
    with ExitStack() as opened:
        for _ in range(100):
            client = opened.enter_context(socket.create_connection((served.host, served.port), timeout=10))
            with suppress(OSError):
                client.sendall(b"GET /metrics HTTP/1.1\r\nX-")
        assert served.receiver.send(sample_dataset()) == [0]
        assert served.seconds_until(lambda answer: answer[0] == 200) < SOON


def test_the_process_is_started_again_when_it_is_killed(start_receiver: StartReceiver) -> None:
    served = start(start_receiver)
    before = server_of(served)
    os.kill(before, signal.SIGKILL)
    until(served.answers, "another process serves", log=lambda: served.receiver.log)
    assert server_of(served) != before
    assert served.receiver.send(sample_dataset()) == [0]


def test_a_reload_keeps_the_port(start_receiver: StartReceiver) -> None:
    served = start(start_receiver)
    before = server_of(served)
    served.receiver.process.send_signal(signal.SIGHUP)
    served.receiver.wait_for_log("settings reloaded")

    def is_another() -> bool:
        with suppress(AssertionError):
            return server_of(served) != before and served.answers()
        return False

    until(is_another, "another process serves", log=lambda: served.receiver.log)
    assert "cannot listen" not in served.receiver.log


def test_nothing_listens_without_the_option(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("-pm", "--plugin", "metrics")
    receiver.wait_for_log("background of plugin metrics: done")


def test_a_port_that_is_taken_ends_the_start(start_receiver: StartReceiver) -> None:
    host, port = free_address()
    with (
        socket.create_server((host, port)),
        pytest.raises(AssertionError, match=f"--http: cannot listen on {host}:{port}: Address already in use"),
    ):
        start_receiver("-pm", "--plugin", "metrics", "--http", f"{host}:{port}")


@pytest.mark.parametrize("address", ["9104", "localhost:9104", "127.0.0.1:99999"])
def test_an_address_that_is_none_ends_the_start(start_receiver: StartReceiver, address: str) -> None:
    with pytest.raises(AssertionError, match="Invalid value for option --http"):
        start_receiver("-pm", "--plugin", "metrics", "--http", address)


def test_no_hook_of_an_instance() -> None:
    """So an instance costs no more with the plugin."""
    hooks: list[Callable[..., object]] = [
        value for value in vars(MetricsPlugin).values() if hasattr(value, "dcmrecv_impl")
    ]
    assert {hook.__name__ for hook in hooks} == {"add_options", "configure", "background"}
