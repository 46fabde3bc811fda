"""An instance with an element for each rule of `--layout`, as plugins get it from the receiver."""

from __future__ import annotations

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.hooks.limits import HookTimer
from dcmrecv_core.receive.instance import ReceivedInstance
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities
from support.plugins import ASSOCIATION
from support.uids import CT, EXPLICIT_LE

CREATOR = "ACME 1.1"


def received(dataset: Dataset, encoding: Encoding = EXPLICIT_LITTLE) -> ReceivedInstance:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, not encoding.explicit
    write_dataset(stream, dataset)
    data = stream.getvalue()
    index = scan(MemorySource(memoryview(data)), encoding, whole=True)
    publisher = Publisher(".", fsync=False, capabilities=Capabilities())
    uids = (CT, "1.2.3", EXPLICIT_LE)
    content = FileContent(b"", [data])
    return ReceivedInstance(ASSOCIATION, uids, content, index, encoding, publisher, HookTimer())


def dataset() -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.StudyDate = "20200102"
    for tag, date in ((0x00080022, "20201301"), (0x00080023, "1999.12.31"), (0x00181200, "20200230")):
        made.add(DataElement(tag, "DA", date, validation_mode=IGNORE))
    made.StudyTime = "130405.25"
    made.SeriesTime = "13"
    made.AcquisitionDateTime = "20200102130405.250000+0100"
    made.AccessionNumber = ""
    made.StudyID = "  "
    made.Modality = "CT"
    made.ProtocolName = "Head"
    made.InstitutionName = "St. Jörg/West"
    made.StationName = "nul.x"
    made.StudyDescription = 'a<b>c"'
    made.PerformingPhysicianName = "Dr."
    made.ReferringPhysicianName = "Yamada^Tarou^^Dr.^PhD^=山田^太郎=やまだ^たろう^"
    made.OperatorsName = ["Smith^A^ ^", "Jones ^B^"]
    made.add(DataElement(0x00081060, "LO", "Who^Ever^^ "))
    made.PatientName = "Müller^Jörg"
    made.PatientID = "P1"
    made.SliceThickness = "2.5"
    made.StudyInstanceUID = "1.2.840.4.5"
    made.SeriesNumber = "3"
    made.AcquisitionNumber = "0007"
    made.InstanceNumber = "17"
    made.TemporalPositionIndex = 1
    made.ImageComments = "x" * 300
    made.Rows = 512
    made.private_block(0x0029, CREATOR, create=True).add_new(0x01, "LO", "private")
    items = [Dataset(), Dataset()]
    items[0].RequestedProcedureID = "first"
    items[1].RequestedProcedureID = "second"
    items[0].private_block(0x0029, CREATOR, create=True).add_new(0x01, "LO", "nested")
    made.RequestAttributesSequence = Sequence(items)
    return made


def sample(encoding: Encoding = EXPLICIT_LITTLE) -> ReceivedInstance:
    return received(dataset(), encoding)
