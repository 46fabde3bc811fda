"""`dcmrecvctl send-test` beside receivers that store, refuse, reject, or are not there."""

from __future__ import annotations

import socket
import sys

import pydicom
import pytest

from support.programs.certificates import Certificates
from support.programs.receivers import Receiver, Start, run
from support.programs.tls_clients import tls

REFUSES = """\
from dcmrecv_core import Refuse, hookimpl

@hookimpl
def receive(instance):
    return Refuse(0xA700, "the archive is closed")
"""

REJECTS = """\
from dcmrecv_core import Reject, RejectReason, hookimpl

@hookimpl
def negotiate(association):
    if association.calling_ae_title != "CT1":
        return Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
"""


def send_test(*arguments: object) -> tuple[int, str]:
    """The exit code, and what it says."""
    main = "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"
    done = run(sys.executable, "-c", main, "send-test", *arguments)
    return done.returncode, done.stdout + done.stderr


def state(receiver: Receiver) -> tuple[str, object]:
    return "--state-dir", receiver.output / ".dcmrecv"


def test_it_is_stored_and_found(ours: Start) -> None:
    receiver = ours("-pm", "--layout", "{PatientID}/{SOPInstanceUID}.dcm")
    code, text = send_test(*state(receiver), receiver.port)
    assert code == 0, text
    stored, found = text.splitlines()
    assert stored.startswith("stored: SecondaryCaptureImageStorage 2.25.") and stored.endswith(", status 0000")
    dataset = pydicom.dcmread(found.removeprefix("found: "))
    assert f"{receiver.output}/DCMRECV-TEST/" in found
    assert dataset.SOPInstanceUID in stored
    assert len(dataset.PixelData) == dataset.Rows * dataset.Columns == 64


def test_another_class_if_need_be(ours: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    profile = tmp_path_factory.mktemp("profile") / "ct.cfg"
    profile.write_text(
        "[[TransferSyntaxes]]\n[U]\nTransferSyntax1 = LocalEndianExplicit\n[[PresentationContexts]]\n[C]\n"
        "PresentationContext1 = CTImageStorage\\U\n[[Profiles]]\n[DEFAULT]\nPresentationContexts = C\n"
    )
    receiver = ours("-xf", profile, "Default")
    code, text = send_test(*state(receiver), receiver.port)
    assert code == 0, text
    assert text.startswith("stored: CTImageStorage ")


def test_a_settings_file_says_where_it_is(ours: Start) -> None:
    receiver = ours("-pm")
    settings = receiver.directory / "site.toml"
    settings.write_text(f'output_directory = "{receiver.output}"\n')
    assert send_test("--settings", settings, receiver.port)[0] == 0


def test_without_knowing_where_it_is(ours: Start) -> None:
    code, text = send_test(ours("-pm").port)
    assert code == 0
    assert "not looked for: --settings FILE or --state-dir DIR" in text


def test_it_is_not_where_it_should_be(ours: Start) -> None:
    receiver = ours("-pm", "--ignore")
    code, text = send_test(*state(receiver), receiver.port)
    assert code == 1
    assert f"it is not below {receiver.output}: the receiver stores elsewhere" in text


def test_it_is_refused(ours: Start) -> None:
    receiver = ours("-pm", "--plugin", "refuses.py", files={"refuses.py": REFUSES})
    code, text = send_test(receiver.port)
    assert code == 1
    assert "is refused: status A700, the archive is closed" in text


def test_no_image_is_accepted(ours: Start) -> None:
    code, text = send_test(ours().port)
    assert code == 1
    assert "accepts none of the images that a test can send: see -xf, -pm" in text


def test_titles(ours: Start) -> None:
    receiver = ours("-pm", "--plugin", "rejects.py", files={"rejects.py": REJECTS})
    code, text = send_test(receiver.port)
    assert (code, "give another one with --calling" in text) == (1, True)
    assert send_test(receiver.port, "--calling", "CT1")[0] == 0


def test_no_receiver_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        code, text = send_test(free.getsockname()[1], "--host", "127.0.0.1")
    assert code == 1
    assert "cannot be reached: Connection refused" in text


def test_with_tls(ours: Start, certificates: Certificates) -> None:
    receiver = ours("-pm", *tls(certificates))
    own = ("--tls-key", certificates.client.key, certificates.client.certificate)
    code, text = send_test(*state(receiver), receiver.port, "--tls", certificates.authority, *own)
    assert code == 0, text
    code, text = send_test(receiver.port, "--tls", certificates.server.certificate, *own)
    assert code == 0, f"the receiver's certificate instead of the authority's: {text}"
    code, text = send_test(receiver.port)
    assert code == 1, "without TLS"
    code, text = send_test(receiver.port, "--tls", certificates.unknown.certificate, *own)
    assert (code, "certificate verify failed" in text) == (1, True), text
    code, text = send_test(receiver.port, *own)
    assert (code, "needs --tls" in text) == (1, True)
    code, text = send_test(receiver.port, "--tls", receiver.directory / "absent.pem")
    assert (code, "No such file" in text) == (1, True)
