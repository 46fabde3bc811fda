"""Work on a database that goes away and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.delivery import opening
from dcmrecv_core.delivery.opening import work_on_store
from dcmrecv_core.delivery.preparation import prepare
from dcmrecv_core.delivery.store import Store, StoreError
from dcmrecv_core.settings.settings import Settings


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_known", {})


def settings(directory: Path, url: str | None) -> Settings:
    made = Settings(output_directory=str(directory), state_dir=str(directory / "state"), journal=url)
    prepare(made)
    return made


def test_it_goes_on_when_the_database_is_back(
    postgresql: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so each time."""
    caplog.set_level("INFO")
    outcomes = ["no connection", "no connection", "no tables", ""]

    def work(store: Store) -> None:
        assert store.files() == {}
        if reason := outcomes.pop(0):
            raise StoreError(reason)

    work_on_store(settings(tmp_path, postgresql), work, lambda: False, pause=0.0)
    assert outcomes == []
    waits, again = (
        "deliveries wait until the journal's database can be used",
        "the journal's database can be used again",
    )
    assert caplog.messages == [
        f"{waits}: no connection",
        again,
        f"{waits}: no connection",
        again,
        f"{waits}: no tables",
        again,
    ]


def test_a_process_that_waits_for_the_database_can_be_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").mkdir()
    site = Settings(state_dir=str(tmp_path / "state"), journal="postgresql://dcmrecv@/x?host=/nowhere")
    tries: list[int] = []

    def stopped() -> bool:
        tries.append(1)
        return len(tries) > 3

    work_on_store(site, lambda store: None, stopped, pause=0.01)
    assert len([line for line in caplog.messages if line.startswith("deliveries wait")]) == 1


def test_a_store_of_the_state_directory_fails_at_once(tmp_path: Path) -> None:
    def work(store: Store) -> None:
        raise StoreError("disk I/O error")

    with pytest.raises(StoreError, match="disk I/O error"):
        work_on_store(settings(tmp_path, None), work, lambda: False)
