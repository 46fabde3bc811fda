"""`dcmrecvctl refusals`: the last refusals, of one sender or of all."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

from dcmrecv_core.ctl.receiver import Receiver, Write
from dcmrecv_core.ctl.tables import refusal_lines


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    text = "show what the receiver has refused lately, associations and instances, and why"
    parser = commands.add_parser("refusals", parents=[which], help=text, description=f"Show{text[4:]}.")
    parser.add_argument("--from", metavar="TITLE", dest="sender", help="of the sender with this calling AE title only")
    parser.add_argument("--json", action="store_true", help="as JSON: the list `refusals` of the status document")
    parser.set_defaults(run=run)


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """Raises ControlConnectionError, CommandFailedError."""
    counters = receiver.counters()
    refusals = [each for each in counters.refusals if arguments.sender in (None, each.calling_ae_title)]
    if arguments.json:
        only = replace(counters, refusals=tuple(refusals)).as_dict()["refusals"]
        write(json.dumps(only, indent=2) + "\n")
        return
    for line in refusal_lines(refusals, counters.counting_since):
        write(line + "\n")
