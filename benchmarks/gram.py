"""All eigenvalues of the Gauss-Newton matrix of a classifier of 100 million parameters: time, memory, numbers.

    OMP_NUM_THREADS=2 python benchmarks/gram.py [--model transformer]

200 images of CIFAR-10 have 2,000 outputs, so the matrix has 2,000 eigenvalues at most that are not zero. The model is
a perceptron of two hidden layers, or a vision transformer of 13 layers on patches of 8x8 pixels, both at random. The
largest eigenvalues are checked by products with their eigenvectors. Prints seconds, also of the processor, and the peak
resident memory of the process, and writes a row of ``results/gram.json``. With ``--width 256`` it takes seconds.
"""

import json
import resource
import time
from typing import Any

import numpy as np
import torch
from hvp_models import Attention
from measuring import origin, parser_of, save, timed
from skip_paper.data.images import load_images
from torch import Tensor, nn

from hessdens import ggn_operator
from hessdens.structure import output_gram

WIDTHS = {"perceptron": 8_600, "transformer": 792}
DEPTH, HEADS, PATCH, CLASSES = 13, 12, 8, 10
CHECKED = 5
GIB = 2**30


class VisionTransformer(nn.Module):
    """Patches, attention layers as of GPT-2, and the mean of all patches to the classes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = nn.Unfold(PATCH, stride=PATCH)
        self.embedding = nn.Linear(3 * PATCH**2, width)
        self.layers = nn.Sequential(*(Attention(width, HEADS) for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (batch, classes)."""
        x = self.embedding(self.patches(images.view(-1, 3, 32, 32)).mT)
        return self.head(self.norm(self.layers(x)).mean(1))


def model_of(name: str, width: int) -> nn.Module:
    """Return a model at random, of float32."""
    torch.manual_seed(0)
    if name == "transformer":
        return VisionTransformer(width)
    return nn.Sequential(
        nn.Linear(3 * 32**2, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, CLASSES)
    )


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--model", choices=WIDTHS, default="perceptron")
    parser.add_argument("--width", type=int, help="default: so that there are 100 million parameters")
    parser.add_argument("--examples", type=int, default=200)
    options = parser.parse_args()
    images = load_images("cifar10")
    pixels, labels = (torch.as_tensor(part[: options.examples]) for part in images.train)
    model = model_of(options.model, options.width or WIDTHS[options.model])
    before = time.process_time()
    data = [(pixels.flatten(start_dim=1).float() / 255 - 0.5, labels.long())]
    operator, made = timed(ggn_operator, model, nn.CrossEntropyLoss(), data)
    gram, formed = timed(lambda: output_gram(operator, progress=True))
    spectrum, solved = timed(gram.spectrum)
    spent = {"operator": made, "Gram matrix": formed, "eigenvalues": solved}
    processor = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    values, vectors = gram.eigenvectors(CHECKED)
    residuals = torch.linalg.vector_norm(operator @ vectors - vectors * torch.from_numpy(values).to(vectors), dim=0)
    row: dict[str, Any] = {
        **origin(),
        "model": options.model,
        "data": images.title,
        "parameters": operator.size,
        "examples": len(labels),
        "outputs": CLASSES * len(labels),
        "rank": len(spectrum.eigenvalues),
        "passes": gram.num_passes,
        "seconds": spent,
        "processor_seconds": processor,
        "peak_gib": peak,
        "largest": values.tolist(),
        "relative_residuals": (residuals.double().numpy() / np.abs(values)).tolist(),
    }
    print(json.dumps(row, indent=1))
    rows = json.loads(options.output.read_text())["rows"] if options.output.is_file() else []
    save(options.output, {"rows": [other for other in rows if other["model"] != options.model] + [row]})


if __name__ == "__main__":
    main()
