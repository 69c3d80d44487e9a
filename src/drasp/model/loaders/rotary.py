"""Rotary positions in configurations of Hugging Face, as older and newer versions of transformers write them."""

import json

from drasp.model.loaders.format import Config
from drasp.model.transformer import Rotary


def _parameters(config: Config) -> dict[str, object]:
    """Those in one mapping (transformers 5), or beside the other settings."""
    found = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    found.setdefault("rope_theta", config.get("rope_theta", config.get("rotary_emb_base", 10000.0)))
    found.setdefault("partial_rotary_factor", config.get("partial_rotary_factor", config.get("rotary_pct")))
    return found


def rotary_of(config: Config, head: int, share: float) -> Rotary | None:
    """How queries and keys are turned, heads being so wide; `share`: of their coordinates, where the configuration does not say."""
    given = _parameters(config)
    factor = given["partial_rotary_factor"]
    dimensions = int(head * float(share if factor is None else factor))  # type: ignore[arg-type]
    return Rotary(dimensions, float(given["rope_theta"])) if dimensions else None  # type: ignore[arg-type]


def rotary_reasons(config: Config, head: int, share: float) -> list[str]:
    """Why they are not supported."""
    given = _parameters(config)
    kind = given.get("rope_type", given.get("type", "default"))
    if kind != "default":
        return [f"the type of rotary positions is {json.dumps(kind)}, not default"]
    for name in ("rope_theta", "partial_rotary_factor"):
        if given[name] is not None and (isinstance(given[name], bool) or not isinstance(given[name], int | float) or given[name] <= 0):  # type: ignore[operator]
            return [f"{name} is {json.dumps(given[name])}, not a positive number"]
    rotary = rotary_of(config, head, share)
    if rotary is not None and (rotary.dimensions % 2 or rotary.dimensions > head):
        return [f"rotary positions turn {rotary.dimensions} of the {head} coordinates of a head: an even number of them is expected"]
    return []
