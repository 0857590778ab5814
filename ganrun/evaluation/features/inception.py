"""The Inception network of the standard FID, as torch-fidelity builds it, with weights from a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganrun.common.atomic import make_folder
from ganrun.common.errors import UserError
from ganrun.data.dataset import Dataset
from ganrun.evaluation.features.extractor import Extractor, Features

FILE = "weights-inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d"  # the first digits of its SHA-256


class Inception(Features):
    """The 2048 features of the standard FID.

    weights: the path of torch-fidelity's file of weights; null: the copy in the cache folder.
    download: when `weights` is null and the cache has no copy, download it.
    """

    def __init__(self, weights: str | None = None, download: bool = False) -> None:
        self.weights, self.download = weights, download

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        """The network on `device`. `data` is used only to check the number of channels.

        Raises UserError when torch-fidelity or the weights are missing, when the file holds other weights, and for
        pictures that are neither grey nor colour.
        """
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as theirs
        except ImportError:
            raise UserError("features=inception needs torch-fidelity: pip install 'ganrun[fid]'") from None
        if data.channels not in (1, 3):
            raise UserError(
                f"features=inception takes pictures with 1 or 3 channels (grey or colour), not {data.channels}"
            )
        network = opened(theirs.FeatureExtractorInceptionV3, self.file(cache, theirs.URL_INCEPTION_V3))
        module = WithFeatures(network).to(device)
        return Extractor("inception", module, 2048, "TensorFlow 1's bilinear, to 299×299", named=True, smooth=False)

    def file(self, cache: Path, url: str) -> Path:
        """The path of the weights, which are downloaded if need be. Raises UserError when there are none."""
        if self.weights is not None:
            path = Path(str(self.weights)).expanduser()
            if not path.is_file():
                raise UserError(f"features.weights={self.weights}: there is no such file")
            return path
        path = cache / FILE
        if path.is_file():
            return path
        if not self.download:
            raise UserError(
                f"features=inception needs its weights: features.weights=FILE (torch-fidelity's {FILE}), or "
                "features.download=true to download 91 MB once; features=default needs no file"
            )
        try:
            make_folder(path.parent)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=DIGEST, progress=False)
        except (OSError, RuntimeError) as error:
            reason = str(getattr(error, "reason", None) or error).splitlines()[0]
            raise UserError(
                f"features.download=true: {url} cannot be downloaded ({reason}); features.weights=FILE"
            ) from None
        return path


def opened(build: Any, path: Path) -> nn.Module:
    """torch-fidelity's network with the weights in the file at `path`. No code in the file can run.

    build: torch-fidelity's class. Raises UserError when the file does not hold weights for this network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
            raise ValueError("it holds no list of weights")
        # torch-fidelity reads the file with pickle, which can run code: it gets a copy that holds only these tensors
        clean = io.BytesIO()
        torch.save(state, clean)
        clean.seek(0)
        return build("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=clean)
    except Exception as error:  # any error of the reader means that these are not Inception's weights
        reason = f"{type(error).__name__}: {' '.join(str(error).split()):.80}"
        raise UserError(f"features.weights={path} is not torch-fidelity's {FILE} ({reason})") from None


class WithFeatures(nn.Module):
    """torch-fidelity's network for images in [-1, 1]; the original takes bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1 or 3, H, W) images in [-1, 1] -> (N, 2048) features, (N, 1008) logits without the bias.

        torch-fidelity's Inception Score uses the logits without the bias, too.
        """
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return self.network(pixels.expand(-1, 3, -1, -1))
