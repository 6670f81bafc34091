"""What the ablation compares: arms that differ in one thing, and a table of what came out."""

from benchmarks.ablation import COLUMNS, LOSSES, SIZES, arms, table
from models.bundle import load_bundle
from training.checkpoint import DEFAULT


def test_losses_go_on_from_the_shipped_weights_and_sizes_begin_anew():
    every = arms(20)
    assert every.keys() == LOSSES.keys() | SIZES.keys()
    shipped = tuple(load_bundle().architecture["channels"])
    for name in LOSSES:
        config, start = every[name]
        assert start == DEFAULT and config.network.channels == shipped
    for name, channels in SIZES.items():
        config, start = every[name]
        assert start is None and config.network.channels == channels
    assert shipped in SIZES.values()


def test_arms_differ_in_one_thing():
    every = arms(20, "bfloat16")
    losses = [every[name][0] for name in LOSSES]
    assert len({each.model_dump_json(exclude={"loss"}) for each in losses}) == 1
    assert len({each.model_dump_json() for each in losses}) == len(losses)
    sizes = [every[name][0] for name in SIZES]
    assert len({each.model_dump_json(exclude={"network"}) for each in sizes}) == 1
    assert {each.run.precision for each, _ in every.values()} == {"bfloat16"}


def test_the_table_leaves_out_what_is_not_known():
    found = {"arm": {"parameters": 1_600_000, "ms": 6.7, "phantoms": dict.fromkeys(COLUMNS)}}
    found["arm"]["phantoms"]["bias"] = -0.123
    last = table("phantoms", found).splitlines()[-1]
    assert last.startswith("| arm | 1.60 M | 7 |") and "-0.12" in last
    assert last.count("–") == len(COLUMNS) - 1
