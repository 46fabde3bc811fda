"""Layouts: the path that each rule of the pattern language gives an instance, and the errors in patterns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcmrecv_builtin.layout.conversions import WORDS
from dcmrecv_builtin.layout.fields import VALUES
from dcmrecv_builtin.layout.lengths import PathLimit
from dcmrecv_builtin.layout.pattern import MISSING, Layout
from dcmrecv_builtin.layout.replacements import FORMS
from dcmrecv_builtin.layout.syntax import LayoutError
from dcmrecv_core import RawElement
from dcmrecv_core.api.model import TagLike
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.storage.directories import escaped_path
from support.data.layout_instance import sample
from support.paths import DOCS
from support.plugins import FakeInstance

DOCUMENT = DOCS / "layout.md"
HASH = re.compile(r"~[0-9a-f]{8}")


def path_of(pattern: str, instance: Any = None) -> str:
    return "/".join(filter(None, Layout(pattern).path(instance or sample())))


def shown(pattern: str, instance: Any = None) -> str:
    """The path with the digits of each hash left out."""
    return HASH.sub("~", path_of(pattern, instance))


# ruff: noqa: E501  # a row a line
RULES = [
    ("the issue's own example", "{PatientID}/{StudyDate:%Y/%m/%d}/{Modality}_{SeriesNumber:04d}/{InstanceNumber:06d}", "P1/2020/01/02/CT_0003/000017"),
    ("literal text alone", "a/b", "a/b"),
    ("doubled braces are braces", "{{{PatientID}}}", "{P1}"),
    ("a keyword in the middle of text", "x{PatientID}y", "xP1y"),
    ("a tag as eight digits", "{00100020}", "P1"),
    ("a tag in two halves", "{0010,0020}", "P1"),
    ("a tag in parentheses", "{(0010,0020)}", "P1"),
    ("a private element by its creator", '{"ACME 1.1",0029,01}', "private"),
    ("a private creator that is absent", '{"NOBODY",0029,01}', "UNKNOWN"),
    ("quotes keep bars, colons and braces of a creator", '{"a|b:c}d",0029,01|none}', "none"),
    ("the first of several values", "{ImageType}", "ORIGINAL"),
    ("a further value", "{ImageType[2]}", "AXIAL"),
    ("a value that is not there", "{ImageType[3]}", "UNKNOWN"),
    ("a value counted from the end", "{ImageType[-1]}", "AXIAL"),
    ("a value before the first", "{ImageType[-4]}", "UNKNOWN"),
    ("the last value of one", "{PatientID[-1]}", "P1"),
    ("all values are joined by a backslash, which is escaped", "{ImageType[*]}", "ORIGINAL_PRIMARY_AXIAL~"),
    ("all values of one", "{PatientID[*]}", "P1"),
    ("a second value of what has one", "{PatientID[1]}", "UNKNOWN"),
    ("an element of the first item", "{RequestAttributesSequence.RequestedProcedureID}", "first"),
    ("an element of a further item", "{RequestAttributesSequence[1].RequestedProcedureID}", "second"),
    ("the last item", "{RequestAttributesSequence[-1].RequestedProcedureID}", "second"),
    ("an item that is not there", "{RequestAttributesSequence[2].RequestedProcedureID}", "UNKNOWN"),
    ("a private element of an item", '{RequestAttributesSequence."ACME 1.1",0029,01}', "nested"),
    ("a sequence that is not there", "{ReferencedStudySequence.ReferencedSOPInstanceUID}", "UNKNOWN"),
    ("the AE titles and the peer", "{calling_ae_title}_{called_ae_title}_{peer_address}", "SCANNER_ARCHIVE_192.0.2.7"),
    ("what the command says", "{sop_class_name}_{sop_class_uid}_{sop_instance_uid}_{transfer_syntax_uid}", "CTImageStorage_1.2.840.10008.5.1.4.1.1.2_1.2.3_1.2.840.10008.1.2.1"),
    ("the prefix of the SOP class", "{modality_prefix}", "CT"),
    ("a missing value has a fixed word", "{SeriesDescription}", "UNKNOWN"),
    ("an empty value is missing", "{AccessionNumber}", "UNKNOWN"),
    ("a value of blanks is missing", "{StudyID}", "UNKNOWN"),
    ("a default", "{SeriesDescription|none}", "none"),
    ("a default is not converted", "{SeriesDescription|none:upper}", "none"),
    ("a slash in a default makes directories", "{SeriesDate|no/date:%Y}_x", "no/date_x"),
    ("an empty default is nothing", "{SeriesDescription|}x", "x"),
    ("another element for one that is missing", "{SeriesDescription||ProtocolName}", "Head"),
    ("another element is not asked for what is there", "{Modality||ProtocolName}", "CT"),
    ("several other elements, then the default", "{SeriesDescription||AccessionNumber||StudyID|none}", "none"),
    ("another date for one that is none", "{AcquisitionDate||StudyDate:%Y%m%d}", "20200102"),
    ("a format of a date and of a date and time", "{SeriesDate||AcquisitionDateTime:%m}", "01"),
    ("a nested element and a value of the association", "{ReferencedStudySequence.StudyID||calling_ae_title}", "SCANNER"),
    ("another element for one of which a slice leaves nothing", "{PatientID||StudyInstanceUID:[4:7]}", "840"),
    ("a date that is none is missing", "{AcquisitionDate|undated:%Y}", "undated"),
    ("a date of old", "{ContentDate:%Y%m%d}", "19991231"),
    ("a slash in a date format goes on in its component", "a{StudyDate:%Y/%m}b", "a2020/01b"),
    ("computed parts of a date", "{StudyDate:%y %j %b %B %a %A %G %V %u}", "20 002 Jan January Thu Thursday 2020 01 4"),
    ("a day that is none has no weekday", "{DateOfLastCalibration|never:%a}", "never"),
    ("a percent sign in a format", "{StudyDate:%Y%%}", "2020%"),
    ("parts of a time", "{StudyTime:%H%M%S.%f}", "130405.250000"),
    ("computed parts of a time", "{StudyTime:%I%p}", "01PM"),
    ("a time without the part that is asked for", "{SeriesTime|early:%M}", "early"),
    ("date and time at once", "{AcquisitionDateTime:%Y-%m-%d_%H%M}", "2020-01-02_1304"),
    ("zero padding of a text with a number (IS)", "{InstanceNumber:06d}", "000017"),
    ("zero padding of a binary number (US)", "{Rows:05d}", "00512"),
    ("padding drops what is not needed", "{AcquisitionNumber:03d}", "007"),
    ("a negative number counts its sign", "{TemporalPositionIndex:-5:03d}", "-04"),
    ("what is no number stays", "{PatientID:04d}", "P1"),
    ("decimals", "{SliceThickness:06.2f}", "002.50"),
    ("a number without zeros", "{AcquisitionNumber:d}", "7"),
    ("a number and more", "{InstanceNumber:+100}", "117"),
    ("a number and less", "{InstanceNumber:-1}", "16"),
    ("a choice by number", "{InstanceNumber:0=few,10=some,18=many}", "some"),
    ("the first choice below its number", "{InstanceNumber:20=few,30=many}", "few"),
    ("the last choice from its number on", "{Rows:1=one,512=many}", "many"),
    ("a choice of what is no number", "{PatientID:0=few}", "P1"),
    ("capitals", "{ProtocolName:upper}", "HEAD"),
    ("small letters", "{Modality:lower}", "ct"),
    ("a slice from the start", "{StudyInstanceUID:[0:5]}", "1.2.8"),
    ("a slice from the end", "{StudyInstanceUID:[-3:]}", "4.5"),
    ("a slice that leaves nothing", "x{PatientID|short:[9:]}", "xshort"),
    ("a slice from the end up to a place from the start", "{PatientID:[-2:1]}", "P"),
    ("a date format that begins with a slash", "x{StudyDate:/%Y}", "x/2020"),
    ("an empty default beside a field", "{SeriesDescription|}{Modality}", "CT"),
    ("the family name", "{ReferringPhysicianName:family}", "Yamada"),
    ("the given name", "{ReferringPhysicianName:given}", "Tarou"),
    ("a middle name that is empty", "{ReferringPhysicianName|none:middle}", "none"),
    ("the prefix of a name", "{ReferringPhysicianName|none:prefix}x", "Dr.x"),
    ("the suffix of a name", "{ReferringPhysicianName:suffix}", "PhD"),
    ("a component that was not sent", "{PatientName|none:suffix}", "none"),
    ("the first group of a name without the carets at its end", "{ReferringPhysicianName:alphabetic:lower}", "yamada^tarou^^dr.^phd"),
    ("the ideographic group", "{ReferringPhysicianName:ideographic}", "山田^太郎"),
    ("a component of the phonetic group", "{ReferringPhysicianName:phonetic:given}", "たろう"),
    ("a group that was not sent", "{PatientName|none:phonetic}", "none"),
    ("a component of a further name", "{OperatorsName[-1]:family}", "Jones"),
    ("carets and blanks at the end of each name", "{OperatorsName[0]}_{OperatorsName[1]}", "Smith^A_Jones ^B"),
    ("carets at the end of a name that was sent as another VR", "{NameOfPhysiciansReadingStudy}", "Who^Ever"),
    ("characters that are dropped", '{PatientName:drop("^ü")}', "MllerJörg"),
    ("dropped characters leave nothing", '{PatientID|none:drop("1P")}', "none"),
    ("characters that are replaced", '{PatientName:replace("^ö","_")}', "Müller_J_rg"),
    ("a replacement of several characters", '{PatientName:replace("ü","ue"):replace("ö","oe")}', "Mueller^Joerg"),
    ("what is replaced is not unfit", '{InstitutionName:replace("/","-")}', "St. Jörg-West"),
    ("in quotes nothing has a special meaning", '{InstitutionName:replace("{}|:%=/","=")}', "St. Jörg=West"),
    ("a doubled quote is a quote", '{StudyDescription:drop("<>""")}', "abc"),
    ("an expression that is dropped", r'{StudyInstanceUID:sub("^1\.2\.","")}', "840.4.5"),
    ("an expression that is replaced each time", r'{StudyInstanceUID:sub("\d+","n")}', "n.n.n.n.n"),
    ("groups of an expression", r'{InstitutionName:sub("(\w+)/(\w+)$","\2-\1")}', "St. West-Jörg"),
    ("the whole match", r'{PatientID:sub("[0-9]","0\0")}', "P01"),
    ("an expression that leaves nothing", '{PatientID|none:sub(".+","")}', "none"),
    ("a long value is cut before an expression sees it", '{ImageComments:sub("xx$","y")}', "x" * 254 + "y"),
    ("a hash of eight digits", "{PatientID:hash}", "fbeae7c1"),
    ("a hash of any length", "{PatientID:hash12}", "fbeae7c18667"),
    ("a UID stays one", "{StudyInstanceUID:uid}", "1.2.840.4.5"),
    ("what is no UID becomes one", "{PatientID:uid}", "2.25.334855924976160988842360593241458182937"),
    ("a UUID", "{PatientID:uuid}", "fbeae7c1-8667-8698-b518-f3ae61ed8b19"),
    ("an MD5 digest", "{PatientID:md5}", "5f2b9323c39ee3c861a7b382d205c3d3"),
    ("percent encoding", "{InstitutionName:urlencoded}", "St.%20J%C3%B6rg%2FWest"),
    ("conversions one after the other", "{Modality:lower:[0:1]:upper}", "C"),
    ("a conversion after a date", "{StudyDate:%b:upper}", "JAN"),
    ("characters are decoded", "{PatientName}", "Müller^Jörg"),
    ("a slash of a value makes no directory", "{InstitutionName}", "St. Jörg_West~"),
    ("what Windows forbids", "{StudyDescription}", "a_b_c_~"),
    ("a device of Windows", "{StationName}", "_ul.x~"),
    ("a dot at the end", "{PerformingPhysicianName}", "Dr_~"),
    ("a blank at the end of a component", "{SeriesDescription|a} x", "a x"),
    ("the extension stays after the hash", "{StudyDescription}.dcm", "a_b_c_~.dcm"),
    ("long values are cut", "{ImageComments}", "x" * 246 + "~"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "expected"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_rule(pattern: str, expected: str) -> None:
    assert shown(pattern) == expected


@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE], ids=["explicit VR", "implicit VR"])
def test_the_vr_need_not_be_sent(encoding: Encoding) -> None:
    pattern = "{PatientName}/{Rows:05d}_{StudyDate:%Y}_{InstanceNumber:03d}"
    assert path_of(pattern, sample(encoding)) == "Müller^Jörg/00512_2020_017"


class Known(FakeInstance):
    """Nothing but these elements, each a text of VR LO."""

    def __init__(self, values: dict[int, str]) -> None:
        super().__init__()
        self.values = values

    def get(self, element: TagLike, default: Any = None) -> Any:
        return self.values.get(element, default)  # type: ignore[call-overload]

    def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
        value = self.values.get(element)  # type: ignore[call-overload]
        return None if value is None else RawElement("UN", value.encode("utf-8", "surrogatepass"))


NAME, PATIENT, STUDY = 0x00100010, 0x00100020, 0x00200010
VALUES_SENT = (
    st.text(max_size=300) | st.sampled_from(["..", "CON", "a.", "a_", "a/b", "x" * 256, "NUL.dcm", "~00000000"])
).filter(lambda text: text.strip(" \0"))


@settings(deadline=None, max_examples=300)
@given(st.tuples(VALUES_SENT, VALUES_SENT), st.tuples(VALUES_SENT, VALUES_SENT), st.sampled_from(["", ".dcm"]))
@example(("a/b", "c"), ("a_b", "c"), "")
@example(("a", "b/c"), ("a/b", "c"), "")
@example(("a", "CON"), ("a", "_ON"), ".dcm")
@example(("a", "x" * 300), ("a", "x" * 301), ".dcm")
def test_different_values_have_different_paths(first: tuple[str, str], second: tuple[str, str], extension: str) -> None:
    compiled = Layout("{PatientID}/{StudyID}" + extension)
    paths = [compiled.path(Known({PATIENT: a, STUDY: b})) for a, b in (first, second)]
    same = [text.strip(" \0") for text in first] == [text.strip(" \0") for text in second]
    assert (paths[0] == paths[1]) == same


@settings(deadline=None, max_examples=300)
@given(VALUES_SENT, VALUES_SENT, st.sampled_from(["", ".dcm"]))
def test_a_value_is_one_component_that_the_core_leaves_alone(patient: str, study: str, extension: str) -> None:
    directory, name = Layout("{PatientID}/{StudyID}").path(Known({PATIENT: patient, STUDY: study}))
    [part], filename = escaped_path(directory, name, extension)
    assert part == str(directory)
    assert filename.endswith(extension)
    for component in (part, filename):
        assert 0 < len(component.encode()) <= 255
        assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]|[. ]\Z', component)
        assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|\Z)", component, re.IGNORECASE)


MADE_OF_A_VALUE = [
    '{PatientID:drop("a.")}/{PatientID||StudyID:replace("/x^",".")}',
    r'{PatientID:sub("^(.)(.*)$","\2.\1")}/{PatientName||PatientID:sub("[^x]","..")}',
    "{PatientName:family}/{PatientName:ideographic:given}{PatientName|none:suffix}",
    "{StudyID[-1]||PatientID[*]}/{PatientName[*]}",
]


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(MADE_OF_A_VALUE), VALUES_SENT, VALUES_SENT, st.sampled_from([None, PathLimit(60)]))
@example(MADE_OF_A_VALUE[0], "a..aa", "/", None)
@example(MADE_OF_A_VALUE[2], "..^x=^/..", "a", None)
def test_what_is_made_of_a_value_is_one_component(
    pattern: str, patient: str, study: str, limit: PathLimit | None
) -> None:
    known = Known({PATIENT: patient, NAME: patient, STUDY: study})
    directory, name = path = Layout(pattern, limit).path(known)
    [part], filename = escaped_path(directory, name)
    assert (part, filename) == path == Layout(pattern, limit).path(known)
    for component in path:
        assert 0 < len(component.encode()) <= 255
        assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]|[. ]\Z', component)
    assert limit is None or len(f"{directory}/{name}".encode()) <= limit.length


MALFORMED = [
    ("an empty pattern", "", "empty pattern", 1),
    ("an absolute path", "/{PatientID}", "an absolute path leads out of the output directory", 1),
    ("no file name", "{PatientID}/", "no file name after the last '/'", 12),
    ("an empty component", "a//b", "nothing between two '/'", 3),
    ("a directory above", "a/../b", "'..' cannot be a file name on every system", 3),
    ("a character that Windows forbids", "{PatientID}-a:b", "':' cannot be part of a file name on every system", 14),
    ("a backslash between directories", "{PatientID}\\a", "a backslash cannot be part of a file name on every system", 12),
    ("a name that Windows forbids", "a/Con.x", "'Con.x' cannot be a file name on every system", 3),
    ("a dot at the end of a component", "{PatientID}./a", "'.' cannot be a file name on every system", 12),
    ("a name of the receiver's own", ".dcmrecv{PatientID}", "'.dcmrecv' cannot be a file name on every system", 1),
    ("an open field", "a{PatientID", "field is not closed", 2),
    ("open quotes", 'a{"ACME,0029,10}', "quotes are not closed", 2),
    ("a brace in a field", "{PatientID{x}", "'{' within a field", 11),
    ("a closing brace alone", "a}", "'}' without '{'; a brace that is meant as such is '}}'", 2),
    ("no name", "{:upper}", "a field needs a name", 2),
    ("a misspelt keyword", "{PatientId}", "unknown field 'PatientId'; did you mean PatientID?", 2),
    ("a misspelt value", "a/{peer_adress}", "unknown field 'peer_adress'; did you mean peer_address or PersonAddress?", 4),
    ("an unknown word", "{Xyzzy}", "unknown field 'Xyzzy'", 2),
    ("a part of the File Meta Information", "{TransferSyntaxUID}", "(0002,0010) is not part of the data set", 2),
    ("a value without text", "{PixelData}", "has no text", 2),
    ("a whole sequence", "{RequestAttributesSequence}", "a sequence has no text, an element of it may", 2),
    ("an element of no sequence", "{PatientID.StudyID}", "only a sequence has elements, not a value of VR LO", 2),
    ("no other element", "{PatientID||}", "a field needs a name", 13),
    ("a misspelt other element", "{PatientID||PatientId}", "unknown field 'PatientId'; did you mean PatientID?", 13),
    ("another element after the default", "{PatientID|a||StudyID}", "'|' cannot be part of a file name on every system", 13),
    ("a date of another element that is none", "{StudyDate||StudyID:%Y}", "a value of VR SH is neither date nor time", 21),
    ("a format that another element has not", "{StudyDate||StudyTime:%Y}", "%Y: a value of VR TM has no date", 23),
    ("all items", "{RequestAttributesSequence[*].StudyID}", "one item is needed, not all", 2),
    ("an index that is none", "{ImageType[x]}", "an index is a number, 0 for the first, -1 for the last, or *", 2),
    ("text after an index", "{ImageType[0]x}", "cannot read field 'ImageType[0]x'", 2),
    ("a private element without its numbers", '{"ACME"}', 'a private element is "CREATOR",gggg,ee', 2),
    ("a private element in an even group", '{"ACME",0028,10}', "0028 is not the group of a private element, which is odd", 2),
    ("a default that is unfit", "{PatientID|a/b?}", "'?' cannot be part of a file name on every system", 15),
    ("a default that leads upwards", "{PatientID|a/../b}/c", "'..' cannot be a file name on every system", 14),
    ("a default of dots", "a/{PatientID|..}", "'..' cannot be a file name on every system", 14),
    ("a default with a slash in front", "{PatientID|/a}", "nothing would be left of a directory or name", 12),
    ("a default that ends with a slash", "{PatientID|a/}/b", "nothing would be left of a directory or name", 14),
    ("an empty default alone", "{PatientID|}/a", "nothing would be left of a directory or name", 12),
    ("empty defaults beside each other", "{PatientID|}{StudyID|}/a", "nothing would be left of a directory or name", 12),
    ("an empty default before the extension", "{PatientID|}.dcm", "nothing would be left of a directory or name", 12),
    ("an empty word of a choice alone", "{Rows:0=,9=x}/a", "nothing would be left of a directory or name", 7),
    ("a slice that ends before it begins", "{PatientID:[9:2]}", "nothing is left of any value", 12),
    ("a slice from the end that ends before it begins", "{PatientID:[-2:-4]}", "nothing is left of any value", 12),
    ("a slice up to the start", "{PatientID:[:0]}", "nothing is left of any value", 12),
    ("a date format with a slash in front", "{StudyDate:/%Y}", "nothing would be left of a directory or name", 12),
    ("a date format with two slashes", "{StudyDate:%Y//%m}", "nothing would be left of a directory or name", 15),
    ("a date format that leads upwards", "{StudyDate:%Y/../%m}", "'..' cannot be a file name on every system", 15),
    ("a dot at the end of a component of a date", "{StudyDate:%Y./%m}", "'%Y.' cannot be a file name on every system", 12),
    ("a component of what is no name", "{PatientID:family}", "a value of VR LO is not a person name", 12),
    ("a group of what is no name", "{peer_address:phonetic}", "a value of VR LO is not a person name", 15),
    ("characters without quotes", "{PatientID:drop(^)}", 'the form is drop("characters"), with double quotes and no blanks', 12),
    ("a replacement without parentheses", '{PatientID:sub."x"}', 'the form is sub("expression","text"), with double quotes and no blanks', 12),
    ("no characters", '{PatientID:drop("")}', 'the form is drop("characters"), with double quotes and no blanks', 12),
    ("text for what is dropped", '{PatientID:drop("^","_")}', 'the form is drop("characters"), with double quotes and no blanks', 12),
    ("no text for what is replaced", '{PatientID:replace("^")}', 'the form is replace("characters","text"), with double quotes and no blanks', 12),
    ("a blank between the arguments", '{PatientID:replace("^", "_")}', 'the form is replace("characters","text"), with double quotes and no blanks', 12),
    ("an expression alone", '{PatientID:upper:sub}', 'the form is sub("expression","text"), with double quotes and no blanks', 18),
    ("a replacement that makes directories", '{PatientID:replace("^","-/")}', "'/' cannot be part of a file name on every system", 26),
    ("an unfit replacement of an expression", r'{PatientID:sub("(^)","\1*")}', "'*' cannot be part of a file name on every system", 25),
    ("a group that is not there", r'{PatientID:sub("(a)","b\2")}', "the expression has no group 2", 24),
    ("an error in an expression", '{PatientID:sub("ab)","")}', "')' without '('", 19),
    ("an error after a doubled quote", '{PatientID:sub("a""[b","")}', "the class is not closed", 20),
    ("a misspelt replacement", '{PatientID:dropp("x")}', "unknown conversion 'dropp(\"x\")'; did you mean drop?", 12),
    (
        "a default after a conversion",
        "{PatientID:upper|none}",
        "unknown conversion 'upper|none'; other names and the default stand before the conversions",
        12,
    ),
    ("an unknown conversion", "{PatientID:uper}", "unknown conversion 'uper'; did you mean upper?", 12),
    ("a missing conversion", "{PatientID:}", "a conversion is missing after ':'", 12),
    ("a width without its letter", "{InstanceNumber:04}", "unknown conversion '04'; zeros in front are written 04d", 17),
    ("a date as other programs write it", "{StudyDate:YYYY}", "unknown conversion 'YYYY'; parts of a date or time are %Y, %m, %d, %H, %M, %S and others", 12),
    ("a width without zeros", "{InstanceNumber:6d}", "a width needs a leading zero: 06d (blanks are no good in file names)", 17),
    ("a number of what is none", "{PatientName:04d}", "a value of VR PN is not a number", 14),
    ("a number of a date", "{StudyDate:+1}", "a value of VR DA is not a number", 12),
    ("a slice of one end", "{PatientID:[3]}", "a slice is [first:end], counted from 0", 12),
    ("a choice out of order", "{Rows:5=a,1=b}", "the numbers of a choice rise", 7),
    ("an unfit word in a choice", "{Rows:1=a,5=b*}", "'*' cannot be part of a file name on every system", 14),
    ("a hash that is too short", "{PatientID:hash3}", "a hash has 4 to 64 digits", 12),
    ("a date of what is none", "{PatientID:%Y}", "a value of VR LO is neither date nor time", 12),
    ("a time of a date", "{StudyDate:%H}", "%H: a value of VR DA has no time", 12),
    ("a date of a time", "{StudyTime:%Y}", "%Y: a value of VR TM has no date", 12),
    ("an unknown part of a date", "{now:%Q}", "unknown date or time part %Q", 6),
    ("no part of a date", "{now:100%%}", "no part of a date or time is asked for", 6),
    ("a colon in a format", "{now:%H:%M}", "a date or time format comes first, and ':' cannot be part of it", 9),
    ("an unfit character in a format", "{now:%Y*}", "'*' cannot be part of a file name on every system", 8),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "text", "column"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED]
)
def test_malformed(pattern: str, text: str, column: int) -> None:
    with pytest.raises(LayoutError) as caught:
        Layout(pattern)
    assert (caught.value.text, caught.value.column) == (text, column)
    assert str(caught.value) == f"{text} (column {column})\n  {pattern}\n  {' ' * (column - 1)}^"


@settings(deadline=None, max_examples=500)
@given(st.text('{}[]|:/"%.,()PatientID0d~a\\\n', max_size=40))
def test_any_pattern_is_understood_or_refused_at_a_place_in_it(pattern: str) -> None:
    try:
        compiled = Layout(pattern)
    except LayoutError as error:
        assert 1 <= error.column <= max(1, len(pattern))
    else:
        directory, name = compiled.path(sample())
        escaped_path(directory, name)


def test_no_two_rows_have_one_rule() -> None:
    for table in (RULES, MALFORMED):
        assert len({row[0] for row in table}) == len({row[1] for row in table}) == len(table)


def test_random_and_now() -> None:
    instance = sample()
    directory, name = Layout("{now:%Y%m%d%H%M%S%f}/{now:%Y%m%d%H%M%S%f}_{random}").path(instance)
    assert re.fullmatch(directory + "_[0-9a-f]{16}", name), "both are of one moment"
    assert Layout("{random}").path(instance) != Layout("{random}").path(instance)


def rows_of_the_document() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \|", DOCUMENT.read_text(), re.MULTILINE)
    return [(pattern.replace("\\|", "|"), path) for pattern, path in rows]


@pytest.mark.parametrize(("pattern", "path"), rows_of_the_document())
def test_the_document_is_right(pattern: str, path: str) -> None:
    assert path_of(pattern) == path


def errors_of_the_document() -> list[tuple[str, str, str]]:
    return re.findall(r"^\| `(.+?)` \| ([^`|]+) \| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("pattern", "text", "column"), errors_of_the_document())
def test_the_errors_of_the_document_are_right(pattern: str, text: str, column: str) -> None:
    with pytest.raises(LayoutError) as caught:
        Layout(pattern)
    assert (caught.value.text, caught.value.column) == (text, int(column))


def test_the_tables_of_the_document_are_read() -> None:
    assert (len(rows_of_the_document()) > 30, len(errors_of_the_document())) == (True, 10)


def fields_of_other_tools() -> list[str]:
    text = DOCUMENT.read_text().partition("## Coming from other tools")[2]
    cells = re.findall(r"^\| (?:.*?) \| (.*?) (?<!\\)\|", text.replace("\\|", "\\\v"), re.MULTILINE)
    return [field.replace("\\\v", "|") for cell in cells for field in re.findall(r"\{[^}]+\}", cell)]


def test_what_other_tools_have_is_understood() -> None:
    fields = fields_of_other_tools()
    assert len(fields) > 25
    for field in fields:
        Layout(f"x{field}x")


def test_the_document_names_every_conversion() -> None:
    text = DOCUMENT.read_text()
    assert [word for word in WORDS if f"`{word}`" not in text] == []
    assert [form for form in FORMS.values() if f"`{form}`" not in text] == []


def test_the_document_names_every_value() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in VALUES if f"`{name}`" not in text] == []


def test_a_value_of_any_length_is_not_read() -> None:
    """It counts as absent: what a peer sends as a name must not fill the memory."""

    class Long(FakeInstance):
        def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
            assert limit is not None
            return RawElement("UN", bytes(limit))

        def get(self, element: TagLike, default: Any = None) -> Any:
            raise AssertionError("read as a whole")

    for pattern in ("{PatientID}", "{PatientID[1]}", "{RequestAttributesSequence.StudyID}", '{"SITE",0029,10}'):
        assert Layout(pattern).path(Long()) == ("", MISSING), pattern
