"""Nodes and what stands around them, for every test of the node."""

import pytest

pytest.importorskip("pynetdicom", reason="the node is the extra `node`")
pytest.importorskip("prometheus_client", reason="the node is the extra `node`")
pytest.importorskip("highdicom", reason="DICOM results are the extra `dicom`")

import os
import sys

from node_world import Archive, NodeProcess

from app.node.node import Node
from app.node.settings import Limits, Settings


@pytest.fixture
def node(tmp_path):
    """Start a node here, which keeps and does not measure: `node(callers=("A",))`."""
    started = []

    def start(**options):
        given = {"port": 0, "measure": False, "limits": Limits(free_bytes=0), "grace_seconds": 2.0}
        found = Node(Settings(folder=tmp_path / "node", **given | options))
        started.append(found)
        return found

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """Start a node in a process of its own, which pretends to measure: `apart(die=("sent", 1))`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    started = []

    def start(**options):
        found = NodeProcess(tmp_path / "node", **{"limits": Limits(free_bytes=0)} | options)
        started.append(found)
        return found

    yield start
    for each in started:
        each.process.kill()
        each.process.join()


@pytest.fixture
def archive():
    """Start an archive that takes results: `archive(port=0)`."""
    started = []

    def start(**options):
        found = Archive(**options)
        started.append(found)
        return found

    yield start
    for each in started:
        each.close()
