"""A wider network computes what the narrow one did, and can learn more."""

import pytest

pytest.importorskip("monai")

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from runs import config_of

from models.network import Architecture, build_network
from training.checkpoint import RunError, averaged_weights, starting_weights
from training.ship import Chosen, weights_of
from training.train import train
from training.widen import can_widen, widened


@st.composite
def _pairs(draw):
    narrow = draw(st.lists(st.integers(2, 6), min_size=2, max_size=4))
    wide = [draw(st.integers(old, 2 * old)) for old in narrow]
    assume(can_widen(narrow, wide))
    return tuple(narrow), tuple(wide)


def _network(channels, seed):
    torch.manual_seed(seed)
    return build_network(Architecture.halving(channels), 4).eval()


def _widened(network, narrow, wide, seed=0):
    architectures = (Architecture.halving(each) for each in (narrow, wide))
    other = build_network(Architecture.halving(wide), 4).eval()
    other.load_state_dict(widened(network.state_dict(), *architectures, seed))
    return other


@settings(max_examples=25, deadline=None)
@given(pair=_pairs(), seed=st.integers(0, 999))
def test_a_widened_network_computes_the_same(pair, seed):
    narrow, wide = pair
    network = _network(narrow, seed)
    picture = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        theirs = network(picture)
        ours = _widened(network, narrow, wide, seed)(picture)
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_copies_learn_to_be_different():
    narrow, wide = (3, 4, 5), (6, 8, 10)
    network = _widened(_network(narrow, 1), narrow, wide).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    picture = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    (network(picture) ** 2).mean().backward()
    optimizer.step()
    kernels = network.state_dict()["model.0.conv.unit1.conv.weight"].flatten(1)
    assert min(torch.pdist(kernels).tolist()) > 1e-4


def test_the_same_seed_gives_the_same_weights():
    network = _network((3, 4), 1)
    pair = Architecture.halving((3, 4)), Architecture.halving((5, 8))
    one, same, other = (widened(network.state_dict(), *pair, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("wide", [(2, 4), (3, 9), (3, 4, 5), (6, 6)])
def test_what_cannot_be_widened_is_said(wide):
    assert not can_widen((3, 4), wide)
    with pytest.raises(ValueError, match="cannot be widened"):
        widened({}, Architecture.halving((3, 4)), Architecture.halving(wide), 0)


def test_a_run_with_more_channels_begins_with_a_narrower_ones_weights(tmp_path):
    narrow = config_of(tmp_path, steps=1)
    train(narrow, tmp_path / "narrow")
    wide = config_of(tmp_path, steps=1, channels=[6, 16])
    network = build_network(Architecture.halving(wide.network.channels), 4).eval()
    network.load_state_dict(starting_weights(tmp_path / "narrow", network, wide))
    before = build_network(Architecture.halving(narrow.network.channels), 4).eval()
    before.load_state_dict(averaged_weights(tmp_path / "narrow/checkpoint.pt"))
    picture = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        assert torch.allclose(network(picture), before(picture), atol=1e-4)
    train(wide, tmp_path / "wide", tmp_path / "narrow")
    with pytest.raises(RunError, match="another network"):
        weights_of(tmp_path / "wide", wide, Chosen(blend=(str(tmp_path / "narrow"), 0.5)))
    with pytest.raises(RunError, match="another network"):
        train(config_of(tmp_path, steps=1, channels=[3, 8]), tmp_path / "less", tmp_path / "narrow")
