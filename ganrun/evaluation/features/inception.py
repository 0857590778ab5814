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
    """2048 features. `weights`: torch-fidelity's file; `download`: fetch it into the cache where none is given."""

    def __init__(self, weights: str | None = None, download: bool = False) -> None:
        self.weights, self.download = weights, download

    def open(self, data: Dataset, cache: Path, device: torch.device) -> Extractor:
        """Raises UserError where the library or the weights are missing, or the file holds another network."""
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as theirs
        except ImportError:
            raise UserError("features=inception needs torch-fidelity: pip install 'ganrun[fid]'") from None
        if data.channels not in (1, 3):
            raise UserError(f"features=inception looks at grey and colour pictures, not at {data.channels} channels")
        network = opened(theirs.FeatureExtractorInceptionV3, self.file(cache, theirs.URL_INCEPTION_V3))
        module = WithFeatures(network).to(device)
        return Extractor("inception", module, 2048, "TensorFlow 1's bilinear, to 299×299", named=True, smooth=False)

    def file(self, cache: Path, url: str) -> Path:
        """Where the weights are. Raises UserError in one line where they are not."""
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
                "features.download=true to fetch 91 MB once; features=default needs nothing"
            )
        try:
            make_folder(path.parent)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=DIGEST, progress=False)
        except (OSError, RuntimeError) as error:
            reason = str(getattr(error, "reason", None) or error).splitlines()[0]
            raise UserError(
                f"features.download=true: {url} cannot be fetched ({reason}); features.weights=FILE"
            ) from None
        return path


def opened(build: Any, path: Path) -> nn.Module:
    """torch-fidelity's extractor with the weights of a file, of which only tensors are read. Raises UserError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
            raise ValueError("it holds no list of weights")
        clean = io.BytesIO()  # theirs opens files with pickle: it is given one that was just written here
        torch.save(state, clean)
        clean.seek(0)
        return build("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=clean)
    except Exception as error:  # whatever the reader trips over, the file is not Inception's
        reason = f"{type(error).__name__}: {' '.join(str(error).split()):.80}"
        raise UserError(f"features.weights={path} is not torch-fidelity's {FILE} ({reason})") from None


class WithFeatures(nn.Module):
    """torch-fidelity's extractor, given images in [-1, 1] instead of bytes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1 or 3, H, W) images in [-1, 1] -> (N, 2048) features, (N, 1008) logits without their bias."""
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return self.network(pixels.expand(-1, 3, -1, -1))
