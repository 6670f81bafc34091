"""Write a trained network as a bundle: weights, exported network, card."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.bundle import EXPORT, NORMALISATION, WEIGHTS, IntervalTable, load_bundle
from models.check import means_of
from models.network import Architecture, build_network, ensemble_weights
from models.runtime import OpenVinoRuntime, import_openvino
from training.card import write_card
from training.checkpoint import Weights
from training.config import Config

# Until intervals are calibrated a bundle must not look precise.
UNCALIBRATED = IntervalTable(0.9, 1.0, (float("inf"),), (20.0,), (20.0,))
MIN_QUALITY = 0.5


class _Probabilities(torch.nn.Module):
    """The network with its softmax, as it is exported."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network(pixels).softmax(1)  # type: ignore[no-any-return]


def half_precision(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round weights to half precision: half the size, and both runtimes start from the same."""
    return {name: value.half().contiguous() for name, value in weights.items()}


def shifted(weights: dict[str, torch.Tensor], channel: int, by: float) -> dict[str, torch.Tensor]:
    """Lower one label's logit everywhere by `by`: the last bias of the network takes it in."""
    name = [name for name in weights if name.endswith("conv.bias")][-1]
    bias = weights[name].clone()
    bias[channel] -= by
    return weights | {name: bias}


def blended(
    weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor], part: float
) -> dict[str, torch.Tensor]:
    """Average the weights of two networks, a share `part` in [0, 1] of it from `others`.

    Where one was trained on from the other, the average is often better than either on pictures of
    another kind than both learned from (Wortsman et al., CVPR 2022, 7959, WiSE-FT).
    """
    return {name: (1 - part) * value + part * others[name] for name, value in weights.items()}


def write_graph(network: torch.nn.Module, size: int, path: Path) -> None:
    """Write a network with its softmax as ONNX.

    Float32 `pixels` (n, 1, size, size) in, `probabilities` (n, labels, size, size) out; any n.
    """
    torch.onnx.export(
        _Probabilities(network).eval(),
        (torch.zeros(1, 1, size, size),),
        path,
        input_names=["pixels"],
        output_names=["probabilities"],
        dynamic_axes={"pixels": {0: "n"}, "probabilities": {0: "n"}},
        opset_version=17,
        dynamo=False,  # the newer exporter needs onnxscript, and gains nothing here
    )


def export(
    weights: Weights | Sequence[Weights],
    config: Config,
    labels: tuple[str, ...],
    about: dict[str, str],
    out: Path,
    shift: float = 0.0,
) -> dict[str, Any]:
    """Write the bundle's files into OUT; intervals stay uncalibrated until they are fitted.

    `weights` are the network's, for instance `averaged_weights` of a run, or those of all networks
    of an ensemble, which become one graph. `about` has the card's texts: name, training_data,
    known_failures, licence. `shift` is taken off the endometrium's logit. Returns the card's fields
    for `write_card`.
    """
    out.mkdir(parents=True, exist_ok=True)
    members = [weights] if isinstance(weights, dict) else list(weights)
    architecture = replace(Architecture.halving(config.network.channels), members=len(members))
    channel = labels.index("endometrium")
    stored = half_precision(
        ensemble_weights([shifted(member, channel, shift) for member in members])
    )
    save_file(stored, out / WEIGHTS)
    network = build_network(architecture, len(labels))
    network.load_state_dict({name: value.float() for name, value in stored.items()})

    graph, size = out / "network.onnx", config.network.grid_size
    write_graph(network, size, graph)
    openvino = import_openvino()
    openvino.save_model(openvino.Core().read_model(graph), out / EXPORT[0], compress_to_fp16=True)
    graph.unlink()

    fields: dict[str, Any] = about | {
        "architecture": {
            "family": "monai.networks.nets.UNet",
            "channels": list(architecture.channels),
            "strides": list(architecture.strides),
            "num_res_units": architecture.num_res_units,
            "norm": "INSTANCE",
        }
        | ({"members": len(members)} if len(members) > 1 else {}),
        "labels": list(labels),
        "grid": {"size": size, "mm_per_px": config.network.mm_per_px},
        "normalisation": NORMALISATION,
        "endometrium_logit_shift": -shift,
        "min_quality": MIN_QUALITY,
    }
    write_card(out, fields, UNCALIBRATED, {})
    bundle = load_bundle(out)
    fields["self_test"] = means_of(OpenVinoRuntime(bundle), size)
    write_card(out, fields, UNCALIBRATED, {})
    return fields
