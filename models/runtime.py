"""Runtimes: a batch of grid images in, label probabilities out.

OpenVINO on the CPU needs no torch; torch is the reference and the GPU runtime. Both compute the
same network from the same numbers, and a test holds them together.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.bundle import EXPORT, WEIGHTS, Bundle, BundleError


class DeviceError(Exception):
    """The device that was asked for is not there; the message says what to install or choose."""


class Runtime(Protocol):
    """Float32 (n, 1, size, size) in; float32 probabilities (n, labels, size, size) out."""

    device: str

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of every label in every pixel; they sum to 1 over the labels."""
        ...


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry.

    `import openvino` reports itself to a web analytics service and keeps a client number in the
    home folder, unless the package openvino_telemetry is missing. Here it is made to seem so:
    nothing that runs beside patient data may call outside.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return importlib.import_module("openvino")


class OpenVinoRuntime:
    """The exported network on the CPU, in float32 so that results repeat bit for bit."""

    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Compile the bundle's exported network (about a quarter of a second).

        `threads` to compute with, all cores if left out; the numbers are the same.
        """
        openvino = import_openvino()
        # bf16 is OpenVINO's own choice where the processor has it; it moves single outlines.
        settings: dict[str, str | int | bool] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            # Every process would bind its threads to the first cores, and all of them share those.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        try:
            model = core.read_model(bundle.path / EXPORT[0])
            takes, gives = (list(port.partial_shape) for port in (model.input(), model.output()))
        except RuntimeError as error:
            raise BundleError(f"{bundle.path / EXPORT[0]} is no network: {error}") from error
        size, labels = bundle.grid.size, len(bundle.labels)
        if takes[1:] != [1, size, size] or gives[1:] != [labels, size, size]:
            raise BundleError(
                f"{bundle.path}: the exported network takes {takes} and gives {gives}, but the "
                f"card says {labels} labels on a grid of {size} x {size}. Export it again."
            )
        self._network = core.compile_model(model, "CPU", settings)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Runtime."""
        # A copy: the output tensor belongs to OpenVINO and is written again by the next call.
        return np.array(self._network([batch])[0], np.float32)


class TorchRuntime:
    """The network itself, on the CPU or a CUDA device."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        """Build the network and load its weights on `device` ("cpu" or "cuda")."""
        import torch
        from safetensors.torch import load_file

        from models.network import Architecture, build_network

        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "--device cuda: torch sees no CUDA device. Check the driver with nvidia-smi, "
                "or use --device cpu."
            )
        self.device = device
        # TF32 would round the products of convolutions to 10 bits; outlines are finer than that.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        network = build_network(Architecture.from_card(bundle.architecture), len(bundle.labels))
        weights = load_file(bundle.path / WEIGHTS)
        network.load_state_dict({name: value.float() for name, value in weights.items()})
        self._network = network.eval().to(device)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Runtime."""
        import torch

        with torch.inference_mode():
            pictures = torch.from_numpy(batch)
            if self.device == "cpu":
                return self._probabilities(pictures).numpy()  # type: ignore[no-any-return]
            # Pinned memory goes to and from the device without a copy of the driver's own.
            there = pictures.pin_memory().to(self.device, non_blocking=True)
            found = self._probabilities(there)
            here = torch.empty(found.shape, pin_memory=True)
            here.copy_(found, non_blocking=True)
            torch.cuda.current_stream().synchronize()
            return here.numpy()

    def _probabilities(self, pictures: Any) -> Any:
        """Return float32 probabilities where the pictures are."""
        return self._network(pictures).softmax(1).float()


def choose_runtime(bundle: Bundle, device: str) -> Runtime:
    """Return the runtime for `device`: auto, cpu or cuda.

    auto takes CUDA where both torch and a device are there. torch is not imported to find that
    out on a machine without an NVIDIA driver: it takes seconds. Raises DeviceError.
    """
    if device == "cpu":
        return OpenVinoRuntime(bundle)
    has_torch = importlib.util.find_spec("torch") is not None
    if device == "cuda":
        if not has_torch:
            raise DeviceError(
                "--device cuda needs torch: pip install 'endometer[train]', or use --device cpu."
            )
        try:
            return TorchRuntime(bundle, "cuda")
        except ImportError as error:
            raise DeviceError(
                f"--device cuda: {error}. pip install 'endometer[train]', or use --device cpu."
            ) from error
    if has_torch and Path("/proc/driver/nvidia/version").exists():
        try:
            return TorchRuntime(bundle, "cuda")
        except (DeviceError, ImportError):
            pass
    return OpenVinoRuntime(bundle)
