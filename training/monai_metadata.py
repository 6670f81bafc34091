"""metadata.json of a MONAI Bundle, by its specification (docs.monai.io, MONAI Bundle)."""

from importlib import metadata
from typing import Any

from imaging.grid import CLIP_SD
from models.bundle import Bundle

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)


def metadata_config(bundle: Bundle, card: dict[str, Any], version: str) -> dict[str, Any]:
    """Return configs/metadata.json with the fields of MONAI's bundle specification.

    `card` is the bundle's own; `version` that of the model, such as 1.0.0.
    """
    size = bundle.grid.size
    tensor = {"type": "image", "spatial_shape": [size, size], "dtype": "float32"}
    picture = tensor | {
        "format": "magnitude",
        "modality": "US",
        "num_channels": 1,
        "value_range": [-CLIP_SD, CLIP_SD],
        "is_patch_data": False,
        "channel_def": {"0": "B-mode image, normalised inside the sector"},
    }
    drawn = tensor | {
        "format": "segmentation",
        "modality": "US",
        "num_channels": len(bundle.labels),
        "value_range": [],  # the network gives logits; inference.json takes the softmax
        "is_patch_data": False,
        "channel_def": {str(number): label for number, label in enumerate(bundle.labels)},
    }
    packages = ("monai", "torch", "numpy")
    monai, torch, numpy = (metadata.version(name).split("+")[0] for name in packages)
    needed = ("pytorch-ignite", "scikit-image", "pillow", "fire")
    return {
        "schema": SCHEMA,
        "version": version,
        "changelog": {version: f"exported from the endometer bundle {bundle.name}"},
        "monai_version": monai,
        "pytorch_version": torch,
        "numpy_version": numpy,
        "required_packages_version": {
            name: found for name in needed if (found := _version_or_none(name))
        },
        "name": bundle.name,
        "task": "Segmentation of the endometrium on transvaginal ultrasound",
        "description": "A U-Net that outlines the endometrium, fluid in the cavity and the uterus "
        f"on a grid of {size} x {size} pixels of {bundle.grid.mm_per_px:g} mm.",
        "authors": "the endometer project",
        "copyright": f"Weights: {bundle.licence}",
        "data_source": str(card["training_data"]),
        "data_type": "PNG",
        "image_classes": "one channel, grey",
        "label_classes": "0 background, 1 endometrium, 2 fluid in the cavity",
        "pred_classes": f"{len(bundle.labels)} channels of logits: {', '.join(bundle.labels)}",
        "eval_metrics": {
            name: {key: value for key, value in group.items() if isinstance(value, int | float)}
            for name, group in card["metrics"].items()
            if isinstance(group, dict)
        },
        "intended_use": "Research only. Not a medical device, for no clinical decision. "
        f"{card.get('known_failures', '')}".strip(),
        "references": [
            "Ronneberger et al., MICCAI 2015, U-Net",
            "Kerfoot et al., STACOM 2018, residual units in a U-Net (MONAI's UNet)",
        ],
        "weights_sha256": bundle.sha256,
        "network_data_format": {"inputs": {"image": picture}, "outputs": {"pred": drawn}},
    }


def _version_or_none(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
