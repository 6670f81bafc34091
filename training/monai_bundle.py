"""A bundle as a MONAI Bundle: a folder that `python -m monai.bundle run` understands by itself."""

import json
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from models.bundle import WEIGHTS, Bundle, BundleError
from models.check import MODEL_CARD, card_of
from training.monai_config import DIFFERENCES, inference_config, weight_name
from training.monai_metadata import metadata_config

VERSION = "1.0.0"


def write_monai(bundle: Bundle, out: Path) -> Path:
    """Write a bundle as a MONAI Bundle into the new folder OUT, and return it.

    `models/model.pt` is the file that MONAI's own tools look for. It is in torch's zip format,
    whose index is a pickle; it is written with tensors alone, and both the configuration and MONAI
    read it with `weights_only`, which executes nothing. Raises BundleError for a folder that is
    there already, OSError.
    """
    if out.exists():
        raise BundleError(f"{out} is there already; choose a new folder.")
    import torch
    from safetensors.torch import load_file

    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    card = card_of(bundle.path)
    for name in ("configs", "models", "docs"):
        (part / name).mkdir(parents=True)
    _write_json(part / "configs" / "metadata.json", metadata_config(bundle, card, VERSION))
    _write_json(part / "configs" / "inference.json", inference_config(bundle))
    weights = load_file(bundle.path / WEIGHTS)
    state = {weight_name(name): value.float() for name, value in weights.items()}
    torch.save(state, part / "models" / "model.pt")
    (part / "docs" / "README.md").write_text(readme(bundle, card, out.name), "utf-8")
    if (bundle.path / MODEL_CARD).is_file():
        shutil.copyfile(bundle.path / MODEL_CARD, part / "docs" / MODEL_CARD)
    (part / "LICENSE").write_text(licence_text(bundle.licence), "utf-8")
    part.rename(out)
    return out


def readme(bundle: Bundle, card: dict[str, Any], folder: str) -> str:
    """Return docs/README.md."""
    differences = "\n".join(f"- {line}" for line in DIFFERENCES)
    return f"""# {bundle.name}

Outlines the endometrium on transvaginal ultrasound. Research software, not a medical device.
Exported by endometer {metadata.version("endometer")} from weights with sha256 `{bundle.sha256}`.

## Run it

```sh
pip install monai pytorch-ignite scikit-image pillow fire
cd {folder}
python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json \\
  --bundle_root . --dataset_dir PICTURES --output_dir MASKS --spacing_mm "[0.12, 0.12]"
```

PICTURES is a folder of PNG images of one scale, `spacing_mm` their mm per pixel (row, column).
MASKS gets a label image per picture, as large as it is: 0 background, 1 endometrium, 2 fluid in the
cavity.

## What differs from endometer

{differences}

## Files

`models/model.pt` is the name that MONAI's tools look for. It holds tensors only and is loaded with
`weights_only`; do not load it in another way. The same weights without any pickle are in the bundle
that this was exported from (`{WEIGHTS}`).

## Trained on

{card["training_data"]}

## Known to fail

{card.get("known_failures") or "Nobody has written down what it does badly."}
"""


def licence_text(licence: str) -> str:
    """Return the text of the licence where endometer has it, else its SPDX name."""
    # The first may be a folder that a build left in a checkout, which has none.
    installed = metadata.distributions(name="endometer")
    text = next(filter(None, (each.read_text("licenses/LICENSE") for each in installed)), None)
    if licence == "Apache-2.0" and text:
        return text
    return f"SPDX-License-Identifier: {licence}\n"


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
