"""How fast nnU-Net v2's own predictor is on the same frames, with a network of as many FLOPs:

    python -m benchmarks.nnunet_speed --nnunet ENVIRONMENT [--clips 4] [--frames 40]

ENVIRONMENT is a virtual environment with nnU-Net (see `benchmarks.contest`). Its network has
random weights and the features that come closest to the shipped network's FLOPs at the same grid;
its predictor works as it comes: its own resampling, half-overlapping tiles, four mirror images,
Gaussian weights, pictures prepared and exported in processes of their own. It is given frames that
are decoded already; `endometer measure --frames all` decodes them, measures, draws and writes.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.archive import grey_frames, make_archive, measure
from models.bundle import load_bundle
from models.network import Architecture, build_network

# Run by nnU-Net's Python, which has nothing of ours.
PREDICTOR = """
import json, sys, time
import numpy as np, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.utils.flop_counter import FlopCounterMode

def plans(base, size, mm, stages):
    features = [min(base * 2**i, 16 * base) for i in range(stages)]
    resample = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages, "features_per_stage": features,
            "conv_op": "torch.nn.modules.conv.Conv2d", "kernel_sizes": [[3, 3]] * stages,
            "strides": [[1, 1]] + [[2, 2]] * (stages - 1), "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1), "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None,
            "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True}},
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}
    statistics = dict.fromkeys(
        ("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std"), 1.0)
    return {
        "dataset_name": "Dataset001_Speed", "plans_name": "speed",
        "original_median_spacing_after_transp": [999.0, mm, mm],
        "original_median_shape_after_transp": [1, size, size],
        "image_reader_writer": "NaturalImage2DIO", "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2], "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": statistics},
        "configurations": {"2d": {
            "data_identifier": "speed", "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2, "patch_size": [size, size],
            "median_image_size_in_voxels": [float(size)] * 2, "spacing": [mm, mm],
            "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": resample | {"order": 3},
            "resampling_fn_seg_kwargs": resample | {"is_seg": True},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": resample,
            "architecture": architecture, "batch_dice": True}}}

def network(base):
    configuration = PlansManager(plans(base, size, mm, stages)).get_configuration("2d")
    return get_network_from_plans(
        configuration.network_arch_class_name, configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import, 1, 4, deep_supervision=False).eval()

def flops(base):
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(base)(torch.zeros(1, 1, size, size))
    return counter.get_total_flops()

if __name__ == "__main__":
    work, wanted, size, mm, stages = sys.argv[1], *map(float, sys.argv[2:6])
    size, stages = int(size), int(stages)
    base = min(range(2, 65), key=lambda b: abs(flops(b) - wanted))
    manager = PlansManager(plans(base, size, mm, stages))
    predictor = nnUNetPredictor(
        device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    labels = {"background": 0, "endometrium": 1, "fluid": 2, "uterus": 3}
    about = {"channel_names": {"0": "US"}, "labels": labels, "file_ending": ".png"}
    net = network(base)
    predictor.manual_initialization(
        net, manager, manager.get_configuration("2d"), [net.state_dict()], about, "none", (0, 1))
    with np.load(work + "/frames.npz") as stored:
        frames, spacings = stored["frames"], stored["spacings"]
    images = [frame[None, None].astype(np.float32) for frame in frames]
    properties = [{"spacing": [999.0, *map(float, pair)]} for pair in spacings]
    predictor.predict_single_npy_array(images[0], properties[0])
    seconds = {}
    start = time.monotonic()
    for image, about_it in zip(images, properties):
        predictor.predict_single_npy_array(image, about_it)
    seconds["one by one"] = time.monotonic() - start
    start = time.monotonic()
    predictor.predict_from_list_of_npy_arrays(images, None, properties, None, 1, False, 1)
    seconds["processes"] = time.monotonic() - start
    print(json.dumps({"base": base, "flops": flops(base), "seconds": seconds}))
"""


def own_flops() -> int:
    """Return the FLOPs of the shipped network for one picture of its grid."""
    bundle = load_bundle()
    network = build_network(Architecture.from_card(bundle.architecture), len(bundle.labels)).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, bundle.grid.size, bundle.grid.size))
    return int(counter.get_total_flops())


def decode(archive: Path, path: Path) -> int:
    """Write all frames of an archive and their mm per pixel; return how many there are."""
    frames, spacings = [], []
    for clip in sorted(archive.iterdir()):
        grey, spacing_mm = grey_frames(clip)
        frames.append(grey)
        spacings += [spacing_mm] * len(grey)
    every = np.concatenate(frames)
    np.savez(path, frames=every, spacings=np.array(spacings))
    return len(every)


def nnunet(environment: Path, work: Path) -> dict[str, float]:
    """Return the seconds that nnU-Net's predictor takes, in either of its two ways."""
    bundle, wanted = load_bundle(), own_flops()
    script = work / "predictor.py"
    script.write_text(PREDICTOR)
    stages = len(bundle.architecture["channels"])
    numbers = map(str, (wanted, bundle.grid.size, bundle.grid.mm_per_px, stages))
    done = subprocess.run(
        [environment / "bin/python", script, work, *numbers],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"nnUNet_compile": "false"},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"FLOPs of a picture: ours {wanted / 1e9:.2f} G, nnU-Net's {found['flops'] / 1e9:.2f} G "
        f"({found['base']} features at first)"
    )
    seconds: dict[str, float] = found["seconds"]
    return seconds


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nnunet", type=Path, required=True, help="nnU-Net's virtual environment")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make_archive(work / "archive", given.clips, given.frames)
        count = decode(work / "archive", work / "frames.npz")
        theirs = nnunet(given.nnunet, work)
        every = measure(work / "archive", work / "all", "--frames", "all")
        best = measure(work / "archive", work / "best")
    print(f"{given.clips} cines of {given.frames} frames")
    for way, seconds in theirs.items():
        print(f"nnU-Net's predictor, {way:11}{count / seconds:7.1f} frames/s")
    fastest = min(theirs.values())
    for way, seconds in (("every frame", every), ("best frames", best)):
        print(
            f"measure, {way}       {count / seconds:10.1f} frames/s, {fastest / seconds:.1f} times"
        )


if __name__ == "__main__":
    main()
