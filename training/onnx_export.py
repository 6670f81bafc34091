"""A bundle's network as one ONNX file that says what it takes and gives."""

import json
from pathlib import Path

from models.bundle import WEIGHTS, Bundle, BundleError
from models.network import Architecture, build_network
from training.export import write_graph

INPUT = (
    "float32 (n, 1, size, size): luma of the B-mode image, background and burned-in graphics "
    "removed, resampled to mm_per_px, centred on the sector; zero mean and unit standard deviation "
    "inside the sector, clipped to 4, 0 outside"
)
OUTPUT = "float32 (n, labels, size, size): probabilities that sum to 1 over the labels"


def metadata_of(bundle: Bundle) -> dict[str, str]:
    """Return the metadata_props of the file."""
    return {
        "name": bundle.name,
        "licence": bundle.licence,
        "labels": json.dumps(bundle.labels),
        "grid_size": str(bundle.grid.size),
        "mm_per_px": f"{bundle.grid.mm_per_px:g}",
        "normalisation": "sector_zscore",
        "input": INPUT,
        "output": OUTPUT,
        "weights_sha256": bundle.sha256,
        "averaging": "inference averages the picture and its mirror image along the columns",
        "intended_use": "research only; not a medical device",
    }


def write_onnx(bundle: Bundle, out: Path) -> Path:
    """Write the network of a bundle, with softmax, as ONNX and check it.

    OUT is the file, or a folder that gets NAME.onnx. Raises BundleError for a file that is there
    already or that does not pass onnx's checker, OSError.
    """
    import onnx
    from safetensors.torch import load_file

    path = out if out.suffix == ".onnx" else out / f"{bundle.path.resolve().name}.onnx"
    if path.exists():
        raise BundleError(f"{path} is there already; choose another place.")
    path.parent.mkdir(parents=True, exist_ok=True)
    network = build_network(Architecture.from_card(bundle.architecture), len(bundle.labels))
    weights = load_file(bundle.path / WEIGHTS)
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    part = path.with_suffix(".part")
    try:
        write_graph(network, bundle.grid.size, part)
        model = onnx.load(part)
        model.producer_name = "endometer"
        model.doc_string = f"{bundle.name}: {INPUT} -> {OUTPUT}"
        onnx.helper.set_model_props(model, metadata_of(bundle))
        try:
            onnx.checker.check_model(model, full_check=True)
        except onnx.checker.ValidationError as error:
            raise BundleError(f"the ONNX file does not pass onnx's checker: {error}") from None
        onnx.save(model, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
