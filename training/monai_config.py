"""The configuration files of a bundle as a MONAI Bundle: plain data, read by MONAI's ConfigParser.

MONAI's transforms do what `imaging.sector`, `imaging.grid` and `inference.frame.segment` do, as
near as they can; DIFFERENCES says where they do something else. "$" begins a Python expression and
"@" names another item (docs.monai.io, Configuration).
"""

from typing import Any

from imaging.grid import ANTI_ALIAS, CLIP_SD
from imaging.sector import LIT
from models.bundle import Bundle

# Half width in pixels of the median that closes the speckle's holes before the sector is sought.
MEDIAN_PX = 3
HULL = "$from skimage.morphology import convex_hull_image"
DIFFERENCES = (
    "Input is a folder of PNG images, each cut to the B-mode image, all of one scale, which you "
    "give as `spacing_mm`; a DICOM region list is not read.",
    "The sector is the convex hull of the largest bright area after a median filter; ours closes "
    "and opens the area instead and knows grey screens. It differs by a few pixels at the edge.",
    "Burned-in graphics (calipers, coloured text) are not filled with their surroundings.",
    "The smoothing before the picture is made coarser is cut off at other distances.",
    "The output is the mask of the largest piece at a probability of one half. There are no "
    "millimetres, no quality, no interval and no refusal: a mask may be nonsense where endometer "
    "would have said so.",
)


def inference_config(bundle: Bundle) -> dict[str, Any]:
    """Return configs/inference.json: PNG images in `dataset_dir`, label images in `output_dir`.

    Label images are as large as the pictures: 0 background, 1 endometrium, 2 fluid.
    """
    endometrium, fluid = (bundle.channel(label) for label in ("endometrium", "fluid"))
    size = bundle.grid.size
    both = ["image", "sector"]
    return {
        "imports": ["$import glob", "$import torch", HULL],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        # No default: an invented scale gives an invented size of what is sought.
        "spacing_mm": "$(_ for _ in ()).throw(ValueError('give the mm per pixel of your images: "
        '--spacing_mm "[row, column]"\'))',
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "grid_size": size,
        "grid_mm": bundle.grid.mm_per_px,
        "step": "$[@grid_mm / mm for mm in @spacing_mm]",
        "smooth_px": f"$[max(1e-3, {ANTI_ALIAS} * max(0.0, @grid_mm**2 - mm**2) ** 0.5 / mm)"
        " for mm in @spacing_mm]",
        "network_def": network_def(bundle),
        "network": "$@network_def.to(@device)",
        # weights_only: the file holds tensors, and nothing in it is ever executed.
        "initialize": [
            "$@network.load_state_dict(torch.load(@bundle_root + '/models/model.pt', "
            "map_location=@device, weights_only=True))",
        ],
        "datalist": "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.png'))]",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "LoadImaged",
                    "keys": "image",
                    "reader": "PILReader",
                    "converter": "$lambda picture: picture.convert('L')",
                    "reverse_indexing": False,
                    "ensure_channel_first": True,
                },
                {"_target_": "CopyItemsd", "keys": "image", "names": "sector"},
                {"_target_": "MedianSmoothd", "keys": "sector", "radius": MEDIAN_PX},
                {"_target_": "AsDiscreted", "keys": "sector", "threshold": LIT + 0.5},
                {"_target_": "KeepLargestConnectedComponentd", "keys": "sector"},
                {
                    "_target_": "Lambdad",
                    "keys": "sector",
                    "func": "$lambda lit: torch.as_tensor("
                    "convex_hull_image(lit[0].numpy() > 0))[None].float()",
                },
                {
                    "_target_": "CropForegroundd",
                    "keys": both,
                    "source_key": "sector",
                    "allow_smaller": True,
                },
                {
                    # One deeper than the grid keeps its upper part.
                    "_target_": "SpatialCropd",
                    "keys": both,
                    "roi_start": [0, 0],
                    "roi_end": "$[int(@grid_size * @step[0] + 1), 1000000]",
                },
                # Shifted, so that what is black inside the sector differs from what lies outside.
                {"_target_": "ShiftIntensityd", "keys": "image", "offset": 1.0},
                {"_target_": "MaskIntensityd", "keys": "image", "mask_key": "sector"},
                {"_target_": "GaussianSmoothd", "keys": "image", "sigma": "@smooth_px"},
                {
                    "_target_": "Affined",
                    "keys": both,
                    "scale_params": "@step",
                    "spatial_size": [size, size],
                    "mode": ["bilinear", "nearest"],
                    "padding_mode": "zeros",
                },
                {"_target_": "MaskIntensityd", "keys": "image", "mask_key": "sector"},
                {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True},
                _limit(CLIP_SD, above=False),
                _limit(-CLIP_SD, above=True),
                {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
                {"_target_": "SelectItemsd", "keys": "image"},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "@datalist",
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": _inferer(bundle),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                },
                {
                    "_target_": "Lambdad",
                    "keys": "pred",
                    "func": f"$lambda p: ((p[[{endometrium}]] + p[[{fluid}]]) >= 0.5)"
                    f" * (1 + (p[[{fluid}]] > p[[{endometrium}]]))",
                },
                {
                    "_target_": "KeepLargestConnectedComponentd",
                    "keys": "pred",
                    "applied_labels": [1, 2],
                    "independent": False,
                },
                {"_target_": "Transposed", "keys": "pred", "indices": [0, 2, 1]},
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "mask",
                    "output_ext": ".png",
                    "output_dtype": "$numpy.uint8",
                    "resample": False,
                    "separate_folder": False,
                },
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def members_of(bundle: Bundle) -> int:
    """Return of how many networks a bundle is; a card without the field is of one."""
    return int(bundle.architecture.get("members", 1))


def weight_name(name: str) -> str:
    """Return the name in `network_def` of a weight; those of an ensemble begin with members.N."""
    return name.removeprefix("members.")


def network_def(bundle: Bundle) -> dict[str, Any]:
    """Return what builds the network, as `models.network.build_network` does."""
    if members_of(bundle) > 1:
        return {
            "_target_": "torch.nn.ModuleList",
            "modules": [_unet(bundle) for _ in range(members_of(bundle))],
        }
    return _unet(bundle)


def _inferer(bundle: Bundle) -> str:
    """Return the mean over a picture and its mirror image, and over the networks of an ensemble.

    A uterus may lie either way.
    """
    each = "for member in network" if members_of(bundle) > 1 else "for member in [network]"
    looks = "[member(inputs).softmax(1), member(inputs.flip(-1)).softmax(1).flip(-1)]"
    return (
        "$lambda inputs, network, *args, **kwargs: "
        f"torch.stack([look {each} for look in {looks}]).mean(0)"
    )


def _unet(bundle: Bundle) -> dict[str, Any]:
    return {
        "_target_": "UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": len(bundle.labels),
        "channels": list(bundle.architecture["channels"]),
        "strides": list(bundle.architecture["strides"]),
        "num_res_units": bundle.architecture["num_res_units"],
        "norm": "INSTANCE",
    }


def _limit(value: float, *, above: bool) -> dict[str, Any]:
    """Return what sets grey levels beyond a value to it."""
    return {
        "_target_": "ThresholdIntensityd",
        "keys": "image",
        "threshold": value,
        "above": above,
        "cval": value,
    }
