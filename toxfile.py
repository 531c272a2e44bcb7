"""tox's inline plugin: plain `tox` runs `live` too, where R is or where CI requires it."""

import os
import shutil

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import EnvList
from tox.plugin import impl
from tox.session.state import State

EVERYWHERE = ["py311", "py312", "py313", "lint", "type"]


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Add `live` to the environments that run by default."""
    if shutil.which("R") or os.environ.get("RPARITY_REQUIRE_R"):
        core_conf.loaders.insert(0, MemoryLoader(env_list=EnvList([*EVERYWHERE, "live"])))
    elif not state.conf.options.quiet:
        print("There is no R on this machine: the tests run on the recordings of R's answers.")
