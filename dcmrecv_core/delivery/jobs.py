"""The processes that a receiver needs for deliveries: one for the journal, and some for each queue."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from dcmrecv_core.delivery import deliverer, keeper
from dcmrecv_core.delivery.preparation import queues_of

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings

Main = Callable[[Callable[[], bool]], None]
"""What such a process runs; its argument says whether it has to end."""


def delivery_jobs(settings: Settings, plugins: Plugins) -> dict[str, Main]:
    """By their titles for the log; none if no plugin delivers. Raises PluginError."""
    if not plugins.delivering(settings):
        return {}
    queues = queues_of(plugins, settings)
    relocating = plugins.relocation(settings)
    directory = relocating[1] if relocating else None
    jobs: dict[str, Main] = {"journal process": partial(keeper.run, settings, queues, relocated_from=directory)}
    for queue in queues:
        for slot in range(settings.deliver_processes):
            title = f"delivery process of {queue}" + f" ({slot + 1})" * (settings.deliver_processes > 1)
            jobs[title] = partial(deliverer.run, settings, plugins, queue, slot)
    return jobs
