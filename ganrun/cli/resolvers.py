"""resolvers: what interpolations of ganrun's yaml may ask for, ${gamma:64,32}: plain functions, no Hydra, no torch.

What they cannot compute with they hand on: whoever gets it refuses it by the name of its own key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ganrun.cli.infer import one_fact
from ganrun.common.bounds import shown
from ganrun.common.limits import INTEGER

# -- `${infer:...}` by its names of earlier versions, for users' yaml --


def found(fact: str, *, _parent_: Mapping[str, Any]) -> Any:
    from ganrun.data.listing import find_facts

    return one_fact(f"${{found:{fact}}}", find_facts, fact, _parent_)


def found_pair(fact: str, *, _parent_: Mapping[str, Any]) -> Any:
    from ganrun.data.pairing import find_pair_facts

    return one_fact(f"${{found_pair:{fact}}}", find_pair_facts, fact, _parent_)


def found_domains(fact: str, *, _parent_: Mapping[str, Any]) -> Any:
    from ganrun.data.domains import find_domain_facts

    return one_fact(f"${{found_domains:{fact}}}", find_domain_facts, fact, _parent_)


def damage_scale(damage: Any, *, _parent_: Mapping[str, Any]) -> Any:
    from ganrun.data import clean

    damages = _parent_.get("damages")
    if (
        not isinstance(damage, str)
        or not isinstance(damages, Mapping)
        or not isinstance(damages.get(damage, {}), Mapping)
    ):
        return None  # whoever builds the damages refuses them by name
    return clean.damage_scale(damage, damages)


def gamma(image_size: Any, batch_size: Any, rule_from: int = 128) -> Any:
    from ganrun.losses.gamma import default_gamma

    try:
        return default_gamma(_sides(image_size), batch_size, rule_from)
    except (TypeError, ValueError, OverflowError):
        return image_size


def times(factor: Any, value: Any) -> Any:
    return factor * value if _is_number(factor) and _is_number(value) else value


def plus(one: Any, other: Any) -> Any:
    return one + other if _is_number(one) and _is_number(other) else one if not _is_number(one) else other


def size_for(image_size: Any) -> str:
    """${size_for:${dataset.image_size}}: the default of model.size, "paper" from 64 pixels on and "small" below."""
    from ganrun.networks.sizes import usual_size

    try:
        return usual_size(_sides(image_size))
    except (TypeError, ValueError):
        return "small"


def by_size(size: Any, small: Any, paper: Any) -> Any:
    """${by_size:${model.size},16,64}: the number of the small network, or that of the paper's."""
    from ganrun.networks.sizes import MODEL_SIZES

    if size not in MODEL_SIZES:
        raise ValueError(f"model.size={shown(size)} must be small or paper")
    return paper if size == "paper" else small


def unet_levels(image_size: Any, size: Any) -> Any:
    """${unet_levels:${dataset.image_size},${model.size}}: how often a U-Net halves its pictures."""
    from ganrun.networks.sizes import levels_of_unet

    try:
        return levels_of_unet(_sides(image_size), to_one_pixel=size == "paper")
    except (TypeError, ValueError):
        return None


def steps_of_share(share: Any, steps: Any, kimg: Any, epochs: Any, minutes: Any, batch_size: Any, usual: Any) -> Any:
    """Steps of a share of the run, where its length is known before the data are read: by `steps` or `kimg`.

    `usual` are the kimg of a run that is given no length. None for `epochs` and `minutes`.
    """
    if epochs is not None or minutes is not None or not _is_number(share):
        return None
    images = kimg if kimg is not None else usual
    if steps is None and _is_number(images) and _is_number(batch_size) and batch_size > 0:
        steps = 1000 * images / batch_size
    return max(0, round(share * steps)) if _is_number(steps) else None


def chosen(key: str, name: Any, choices: Any) -> Any:
    """${chosen:model.network,${model.network},${model.networks}}: the entry of a table that a key names."""
    if name not in choices:
        raise ValueError(f"{key}={shown(name)} must be one of {', '.join(map(str, choices))}")
    return choices[name]


def from_start(key: str, start: Any, otherwise: Any) -> Any:
    """${from_start:model.network,${init_from},light}: what the run of `init_from` has at a key, if it has it."""
    from ganrun.checkpoints.start import setting_of

    found = setting_of(str(start), key) if start is not None else None
    return otherwise if found is None else found


def unless_given(value: Any, given: Any, otherwise: Any) -> Any:
    """${unless_given:${init_from},0,0.5}: the first number where `init_from` is set, or the second one."""
    return otherwise if value is None else given


def _sides(image_size: Any) -> Any:
    return image_size if isinstance(image_size, int) else tuple(image_size)


def latents_for_each_map(latents: Any, image_size: Any) -> Any:
    """${latents_for_each_map:20,${dataset.image_size}}: BigGAN's, 20 for its first layer and for each doubling."""
    from ganrun.networks.dcgan import start_grid

    try:
        return latents * (start_grid(_sides(image_size))[1] + 1)
    except (TypeError, ValueError):
        return latents  # the network refuses the size


def biggan_attention(image_size: Any) -> int:
    """${biggan_attention:${dataset.image_size}}: pixels of its generator's attention, 128 at 256 and else 64."""
    from ganrun.networks.dcgan import start_grid

    try:
        return 128 if start_grid(_sides(image_size))[1] == 6 else 64
    except (TypeError, ValueError):
        return 64  # the network refuses the size


def run_name(model: str | None, loss: str | None) -> str:
    """A folder's name: sngan where the loss is that model's own, paper/sngan, and dcgan-hinge elsewhere."""
    return f"{model}" if loss == f"paper/{model}" else f"{model}-{loss}".replace("/", "_")


def run_folder(out: str | None, model: str | None, loss: str | None) -> str:
    name = run_name(model, loss)
    return out or f"outputs/{name}/{datetime.now():%Y-%m-%d_%H-%M-%S_%f}"


def sweep_folder(out: str | None) -> str:
    return out or f"outputs/sweeps/{datetime.now():%Y-%m-%d_%H-%M-%S_%f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and -INTEGER <= value <= INTEGER
