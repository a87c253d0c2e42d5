"""Hydra's process-wide state, borrowed and given back: composing works inside somebody else's Hydra application."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import Any

import hydra
from hydra import initialize
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigSource
from hydra.version import VersionBase, setbase

_LOCK = RLock()
# From Hydra 1.4 on, naming a version is deprecated and 1.3's behaviour the oldest there is.
_NAMES_VERSION = tuple(int(number) for number in hydra.__version__.split(".")[:2]) < (1, 4)


@contextmanager
def private_hydra() -> Iterator[None]:
    """Within it, no application is initialised and 1.3's rules hold; afterwards everything is as it was."""
    with _LOCK:
        outer, base = GlobalHydra.instance(), VersionBase.instance()
        outer_hydra, outer_base = outer.hydra, dict(vars(base))
        outer.hydra = None
        try:
            if _NAMES_VERSION:
                setbase("1.3")
            yield
        finally:
            vars(base).clear()
            vars(base).update(outer_base)
            GlobalHydra.set_instance(outer)
            outer.hydra = outer_hydra


@contextmanager
def private_config_loader(source: type[ConfigSource]) -> Iterator[ConfigLoader]:
    """A loader of Hydra's that can read from `source`; no folder is made, nothing is logged, nothing is run."""
    with ExitStack() as stack:
        stack.enter_context(private_hydra())
        named: dict[str, Any] = {"version_base": "1.3"} if _NAMES_VERSION else {}
        stack.enter_context(initialize(config_path=None, job_name="backbonekit", **named))
        Plugins.instance().register(source)
        yield GlobalHydra.instance().config_loader()
