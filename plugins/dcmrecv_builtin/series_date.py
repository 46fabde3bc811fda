"""`+ssd, --series-date-subdir`: data/YYYY/MM/DD by Series Date (0008,0021), else undef/YYYYMMDD by today's date."""

import re
import time

from dcmrecv_core import Instance, hookimpl

SERIES_DATE = 0x00080021
_LONGEST = 0x10000  # all that fits into an explicit DA

# YYYYMMDD or the old YYYY.MM.DD (ACR-NEMA); no other padding than trailing blanks. Only month 1-12 and day 1-31 are
# checked, as by DCMTK dcmrecv, so 20200230 is a directory too.
_DATE = re.compile(rb"(\d{4})(\.?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01]) *(?:\\|\Z)")


@hookimpl
def choose_subdir(instance: Instance) -> str:
    element = instance.raw(SERIES_DATE, _LONGEST)
    if element is not None and element.vr in ("DA", ""):
        match = _DATE.match(element.value)
        if match:
            year, _, month, day = (group.decode("ascii") for group in match.groups())
            return f"data/{year}/{month}/{day}"
    return time.strftime("undef/%Y%m%d")
