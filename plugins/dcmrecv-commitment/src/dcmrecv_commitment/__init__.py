"""Storage commitment (PS3.4 annex J): says which instances are stored safely, so that a modality may delete them.

The way of a request:

    N-ACTION -> requests.py: read, checked
      -> folder.py: kept in the state directory, durable; then the N-ACTION is answered
        -> work.py, in the process of `background`: waits until the index has all that was stored before
          -> evaluation.py: each instance compared with what was acknowledged
            -> reports.py: N-EVENT-REPORT, on an association of our own, again until the peer has answered
        -> or at_once.py, with `same_association`: the same in the worker, on the association of the request

information.py has what a report says, peers.py the tables of the settings file. The hooks are here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_commitment.folder import Folder
from dcmrecv_commitment.peers import Peer, Route, routes
from dcmrecv_commitment.requests import STORAGE_COMMITMENT, request_of
from dcmrecv_core import (
    Also,
    Association,
    PluginError,
    PluginOptions,
    PluginSettings,
    Request,
    Response,
    StatusError,
    SupportedContext,
    hookimpl,
)

if TYPE_CHECKING:
    from dcmrecv_commitment.at_once import AtOnce

NOT_AUTHORIZED = 0x0124
"""PS3.7 annex C.5.12."""


class CommitmentPlugin:
    """Takes requests in workers, and answers them in a process of its own."""

    dcmrecv_digest = True

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._folder = Folder(Path())
        self._at_once: AtOnce | None = None

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add("--peers", table=Peer, many=True, help="who may ask for storage commitment, and where to answer")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Check the peers, and that the index is there."""
        self._routes = routes(settings.options["peers"])
        try:
            settings.for_plugin("index")
        except LookupError:
            raise PluginError("needs dcmrecv-index: add --plugin index") from None
        self._folder = Folder(settings.state_directory / "commitment")

    @hookimpl
    def negotiate(self) -> Also:
        return Also((SupportedContext(STORAGE_COMMITMENT, None),))

    @hookimpl
    def serve(self, association: Association, request: Request) -> Response | None:
        if request.command.sop_class_uid != STORAGE_COMMITMENT:
            return None
        if association.calling_ae_title not in self._routes:  # before the data set is decoded, which may take long
            text = f"No address is configured for {association.calling_ae_title}"
            raise StatusError(NOT_AUTHORIZED, text)
        asked = request_of(association, request)
        name = self._folder.keep(asked)
        if self._at_once is None or not self._routes[asked.title].peer.same_association:
            return Response(0)
        return Response(0, report=self._at_once.report(name))

    @hookimpl
    def worker_started(self, settings: PluginSettings) -> None:
        if any(route.peer.same_association for route in self._routes.values()):
            from dcmrecv_commitment.at_once import AtOnce  # loads the index

            self._at_once = AtOnce(settings, self._folder)

    @hookimpl
    def background(self, settings: PluginSettings) -> None:
        from dcmrecv_commitment.work import work  # loads pynetdicom

        work(settings, self._routes, self._folder)


plugin = CommitmentPlugin()
