"""tox's inline plugin: which environments plain `tox` runs.

`live` runs where R is, and `browser` where chromium is. `atlas` is not among them, because its
packages do not exist for every Python.
"""

import os
import shutil
import sys

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import EnvList
from tox.plugin import impl
from tox.session.state import State

PYTHONS = ["py311", "py312", "py313", "py314"]
# The Python that runs tox is there: with it some tests always run, whatever else is missing.
THIS = f"py{sys.version_info.major}{sys.version_info.minor}"
EVERYWHERE = [*dict.fromkeys([*PYTHONS, THIS]), "slow", "audit", "lint", "type"]


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Add to the environments that run by default what this machine has, or CI requires."""
    has_r = shutil.which("R") or os.environ.get("RPARITY_REQUIRE_R")
    browses = shutil.which("chromium") or os.environ.get("RPARITY_REQUIRE_BROWSER")
    more = ["live"] * bool(has_r) + ["browser"] * bool(browses)
    core_conf.loaders.insert(0, MemoryLoader(env_list=EnvList([*EVERYWHERE, *more])))
    if not has_r and not state.conf.options.quiet:
        print("There is no R on this machine: the tests run on the recordings of R's answers.")
