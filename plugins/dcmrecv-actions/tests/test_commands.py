"""Commands as administrators write them: words, placeholders, mistakes."""

from __future__ import annotations

import pytest

from dcmrecv_actions.commands import parse_command
from dcmrecv_actions.fields import OF_INSTANCE, OF_SERIES, OF_STUDY, of_instance, of_study
from dcmrecv_core import PluginError, Undeliverable
from dcmrecv_core.testing import fake_association, fake_event, fake_series, fake_study

EVENT = fake_event(
    association=fake_association(calling_ae_title="CT 1", called_ae_title="ARCHIVE", peer_address="192.0.2.7"),
    location="/srv/in/CT.1.2.3",
    sop_instance_uid="1.2.3",
)


def arguments(text: str) -> list[str]:
    return parse_command("--on-instance", text, OF_INSTANCE).arguments(of_instance(EVENT))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tool #p #f #a #c #r", ["tool", "/srv/in", "CT.1.2.3", "CT 1", "ARCHIVE", "192.0.2.7"]),
        ("tool w/#f", ["tool", "w/CT.1.2.3"]),
        ("\n  tool #f\n", ["tool", "CT.1.2.3"]),
        ("tool --from=#a,#c '#p/#f'", ["tool", "--from=CT 1,ARCHIVE", "/srv/in/CT.1.2.3"]),
        ("tool #{sop_instance_uid}.json x#{how}y", ["tool", "1.2.3.json", "xnewy"]),
        ("#p/tool #f", ["/srv/in/tool", "CT.1.2.3"]),
        ("tool # #1 a#, '##'", ["tool", "#", "#1", "a#,", "##"]),
        ("tool \"a b\" 'c;d' e\\>f '*'", ["tool", "a b", "c;d", "e>f", "*"]),
        ("find #p -name x -exec rm {} ';'", ["find", "/srv/in", "-name", "x", "-exec", "rm", "{}", ";"]),
        ("curl -d @#p/#f http://host/x?from=#a", ["curl", "-d", "@/srv/in/CT.1.2.3", "http://host/x?from=CT 1"]),
    ],
)
def test_each_value_stays_within_its_word(text: str, expected: list[str]) -> None:
    assert arguments(text) == expected


def test_a_value_is_not_read_again() -> None:
    event = fake_event(association=fake_association(calling_ae_title="#f $(id)"))
    command = parse_command("--on-instance", "tool x#a", OF_INSTANCE)
    assert command.arguments(of_instance(event)) == ["tool", "x#f $(id)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--on-instance: the command is empty"),
        ("  ", "--on-instance: the command is empty"),
        ("'' #f", "--on-instance: the command is empty"),
        ("tool '#f", "--on-instance: No closing quotation in: tool '#f"),
        ("tool #x", r"--on-instance: unknown placeholder #x; there are #p \(directory\), #f \(file_name\)"),
        ("tool #{study_uid}", "unknown placeholder #{study_uid}"),
        ("tool #{sop_instance_uids}", "unknown placeholder #{sop_instance_uids}; did you mean sop_instance_uid"),
        ("tool #{a}", "unknown placeholder #{a}"),
        ("sh -c 'echo #x'", "unknown placeholder #x"),
        ("sh -c \"echo '#x'\"", "unknown placeholder #x"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        parse_command("--on-instance", text, OF_INSTANCE)


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("echo #a > pipe", ">"),
        ("echo #a>pipe", ">"),
        ("a #f && b", "&"),
        ("a #f | b", "|"),
        ("a; b", ";"),
        ("tool < x", "<"),
        ("tool $HOME/#f", "$"),
        ("tool `hostname`", "`"),
        ("chmod 644 #p/*", "*"),
        ("sh -c 'echo #a' > pipe", ">"),
        ("tool 'a'>'b'", ">"),
        ("one #f\ntwo #f", "\n"),
    ],
)
def test_what_needs_a_shell_says_so(text: str, syntax: str) -> None:
    with pytest.raises(PluginError) as caught:
        parse_command("--on-instance", text, OF_INSTANCE)
    assert f"no shell reads the command, so {syntax!r} does nothing" in str(caught.value)
    assert "sh -c '...'" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "python3 -c 'print(\"#f\")'",
        "python3.11 -W error -Ic 'open(\"#f\")'",
        "perl -lne 'print \"#a\"' file",
        "ruby -e 'puts \"#a\"'",
        "php -r 'echo \"#a\";'",
        "node --eval 'log(\"#a\")'",
        "nice -n 5 fish -c 'echo #a'",
        "lua5.4 -e 'print(\"#a\")'",
        "awk '{ print \"#a\" }' list",
        "gawk -F , -v x=1 '{ print \"#a\" }' list",
        "sed -i s/NAME/#a/ list",
        "sed -n -e 's/NAME/#a/' list",
        "ssh host process #f",
        "timeout 60 ssh host 'process #p'",
        "ssh host sh -c 'process #f'",
        "flock /run/lock -c 'process #f'",
        "bash x.sh -c 'echo #f'",
        "su worker -c 'process #f'",
        "perl -E 'say \"#a\"'",
        "perl -e'print \"#a\"'",
        "perl -e 'print 1;' -e 'print \"#a\"'",
        "node -p '\"#a\"'",
        "pwsh -Command 'echo #a'",
        "sed -es/NAME/#a/ list",
        "sed --expression=s/NAME/#a/ list",
        "sed -e s/A/B/ -e s/NAME/#a/ list",
        "sed -e s/A/B/ -es/NAME/#a/ list",
        "parallel storescu -aet #a host 104",
    ],
)
def test_no_value_becomes_code_of_an_interpreter(text: str) -> None:
    with pytest.raises(PluginError, match=r"#\w would be executed as a part of"):
        parse_command("--on-instance", text, OF_INSTANCE)


@pytest.mark.parametrize(
    "text",
    [
        "python3 /opt/x.py -c #f",
        "python3 -m tool #f",
        "python3 -c 'import sys' #f",
        "perl /opt/x.pl -e #f",
        "awk -v x=#f 1 #p/#f",
        "sed -i -e s/a/b/ #p/#f",
        "bash -v x.sh #f",
        "flock /run/lock process #f",
        "rsync -e ssh #p/#f host:/in",
        "perl -I#p/lib /opt/x.pl #f",
        "awk -vx=#f 1 #p/#f",
        "ssh host process",
    ],
)
def test_arguments_of_interpreters_are_no_code(text: str) -> None:
    expected = [word.strip("'") for word in text.replace("#p", "/srv/in").replace("#f", "CT.1.2.3").split(" ")]
    assert " ".join(arguments(text)) == " ".join(expected)


@pytest.mark.parametrize(
    "text",
    [
        "sh -c 'echo #f'",
        "/bin/bash -euc 'echo #f'",
        "bash -euo pipefail -c 'echo #f'",
        "sh -c -e 'echo #f'",
        "sh -ce 'echo #f'",
        "bash -ceo pipefail 'echo #f'",
        "bash -v -c 'echo #f'",
        "bash --rcfile x -c 'echo #f'",
        "busybox sh -c 'echo #f'",
        "nice timeout 5 dash -c 'echo #f'",
        "find . -exec sh -c 'echo #f' ';'",
    ],
)
def test_scripts_of_shells_get_no_values(text: str) -> None:
    assert any("${DCMRECV_FILE_NAME}" in word for word in arguments(text))
    assert not any("CT.1.2.3" in word for word in arguments(text))


@pytest.mark.parametrize("text", ["sh /opt/x.sh -c #f", "bash x.sh #f", "sh -c 'echo \"$1\"' name #f"])
def test_arguments_of_a_script_are_values(text: str) -> None:
    assert arguments(text)[-1] == "CT.1.2.3"


def test_program() -> None:
    assert parse_command("--on-instance", "nice tool #f", OF_INSTANCE).program == "nice"
    assert parse_command("--on-instance", "#p/tool #f", OF_INSTANCE).program is None


@pytest.mark.parametrize("text", ["tool #a", "tool x#{peer_address}", "sh -c 'echo #c'", "tool #{received_at}"])
def test_a_value_that_a_power_cut_has_taken(text: str) -> None:
    unknown = dict.fromkeys(("calling_ae_title", "called_ae_title", "peer_address", "association_id", "received_at"))
    event = fake_event(recovered=True, **unknown)
    with pytest.raises(Undeliverable, match=r"--on-instance needs #.*: the (sender|time) is not known"):
        parse_command("--on-instance", text, OF_INSTANCE).arguments(of_instance(event))
    assert parse_command("--on-instance", "tool #f", OF_INSTANCE).arguments(of_instance(event))


def test_studies_and_series() -> None:
    first = fake_event(association=fake_association(calling_ae_title="CT1"), location="in/a/1.dcm")
    last = fake_event(association=fake_association(calling_ae_title="CT2"), location="in/b/2.dcm", sop_instance_uid="2")
    lost = fake_event(recovered=True, calling_ae_title=None, location="in/b/3.dcm", sop_instance_uid="3")
    study = fake_study(last, lost, before=[first], revision=2)
    command = parse_command(
        "--on-study", "tool #p #a #{revision} #{number_of_instances} #{number_of_new_instances}", OF_STUDY
    )
    directory, *rest = command.arguments(of_study(study))[1:]
    assert directory.startswith("/")
    assert directory.endswith("/in")
    assert rest == ["CT2", "2", "3", "2"]
    series = parse_command("--on-series", "tool #{series_instance_uid} #{modality}", OF_SERIES)
    assert series.arguments(of_study(fake_series(first)))[1:] == [first.series_instance_uid, first.modality]


def test_a_study_has_no_file_name() -> None:
    with pytest.raises(PluginError, match="--on-study: unknown placeholder #f"):
        parse_command("--on-study", "tool #f", OF_STUDY)


def test_a_study_that_is_not_in_files_has_no_directory() -> None:
    study = fake_study(fake_event(location="s3://bucket/1"))
    with pytest.raises(Undeliverable, match="--on-study needs #p: not all of its instances are files"):
        parse_command("--on-study", "tool #p", OF_STUDY).arguments(of_study(study))


def test_an_instance_that_is_no_file() -> None:
    event = fake_event(location="s3://bucket/a/1.dcm")
    command = parse_command("--on-instance", "tool #p #f #{location}", OF_INSTANCE)
    assert command.arguments(of_instance(event))[1:] == ["s3://bucket/a", "1.dcm", "s3://bucket/a/1.dcm"]


def test_every_field_has_a_value() -> None:
    assert set(of_instance(EVENT)) == set(OF_INSTANCE)
    assert set(of_study(fake_study(EVENT))) == set(OF_STUDY)
    assert set(of_study(fake_series(EVENT))) == set(OF_SERIES)
