"""Facts of our own data sets, inferred from their files for `${infer:FACT}` (no torch here)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ganrun.data.domains import find_domain_facts
from ganrun.data.listing import find_facts
from ganrun.data.pairing import find_pair_facts

# `infer` of these classes, found without their modules: a wrong root is refused before torch is imported, which takes
# seconds. A class without a row works as well, a little later.
WITHOUT_TORCH: dict[str, Callable[..., Mapping[str, Any]]] = {
    "ganrun.data.folder.Folder": find_facts,
    "ganrun.data.paired.Paired": find_pair_facts,
    "ganrun.data.unpaired.Unpaired": find_domain_facts,
}
