"""What deploy/ and docs/node.md say to run is what this program takes, and it runs."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="the node is the extra `node`")
pytest.importorskip("prometheus_client", reason="the node is the extra `node`")
pytest.importorskip("highdicom", reason="DICOM results are the extra `dicom`")
import typer
import yaml

from app.cli import app

TOP = Path(__file__).parents[1]
UNIT = TOP / "deploy/endometer-node.service"
ENDOMETER = Path(sys.executable).with_name("endometer")


def unit_command() -> list[str]:
    """The words of ExecStart, without the program."""
    text = UNIT.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return shlex.split(line)[1:]


def documented_command() -> list[str]:
    """The words of the first command of docs/node.md, without the program."""
    text = (TOP / "docs/node.md").read_text(encoding="utf-8")
    return shlex.split(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0])[1:]


def compose() -> dict:
    return yaml.safe_load((TOP / "deploy/compose.yaml").read_text(encoding="utf-8"))


def parse(words):
    """Parse a call as the program does, without running it; wrong options raise."""
    name, *rest = words
    typer.main.get_command(app).commands[name].make_context(name, rest)


@pytest.mark.parametrize("service", ["node", "review"])
def test_the_compose_file_calls_what_there_is(service):
    parse(shlex.split(compose()["services"][service]["command"]))


def test_the_compose_file_says_where_everything_is():
    """Volumes and networks that services name exist; the node's health is asked where it is."""
    said = compose()
    for service in said["services"].values():
        named = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert {name for name in named if not name.startswith(".")} <= set(said["volumes"])
        assert set(service.get("networks", [])) <= set(said["networks"])
    node = said["services"]["node"]
    port = re.search(r"--metrics-port (\d+)", node["command"])[1]
    assert f"127.0.0.1:{port}/health" in " ".join(node["healthcheck"]["test"])
    # What docs/node.md says a supervisor must wait
    assert int(re.match(r"(\d+)m", node["stop_grace_period"])[1]) * 60 >= 180
    assert int(re.search(r"TimeoutStopSec=(\d+)", UNIT.read_text(encoding="utf-8"))[1]) >= 180


def test_orthanc_knows_the_node_and_the_node_orthanc():
    said = json.loads((TOP / "deploy/orthanc.json").read_text(encoding="utf-8"))
    orthanc, node = (compose()["services"][name] for name in ("orthanc", "node"))
    address = {
        name: each["networks"]["dicom"]["ipv4_address"]
        for name, each in (("orthanc", orthanc), ("node", node))
    }
    words = shlex.split(node["command"])
    option = dict(zip(words[1::2], words[2::2], strict=False))
    assert said["DicomModalities"]["endometer"] == ["ENDOMETER", address["node"], 11112]
    assert (option["--aet"], option["--port"]) == ("ENDOMETER", "11112")
    assert f"--send-to {said['DicomAet']}@{address['orthanc']}:4242" in node["command"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in orthanc["volumes"]}
    for script in said["LuaScripts"]:
        assert (TOP / "deploy" / mounted[script]).is_file()


def test_the_containerfile_installs_extras_that_there_are():
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (TOP / "deploy/Containerfile").read_text(encoding="utf-8")
    extras = re.search(r'"/src\[([^\]]+)\]"', text)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert {"node", "dicom", "dicomweb", "review"} <= set(extras)
    parse(["node", "--out", "x"])


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text(encoding="utf-8").replace("/opt/endometer/bin/endometer", str(ENDOMETER))
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("User=endometer\n", ""), encoding="utf-8")  # nobody has it here
    call = [found, "verify", "--recursive-errors=no", str(unit)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [unit_command(), documented_command()], ids=["unit", "docs"])
def test_the_node_runs_as_it_stands_there(tmp_path, words):
    """Only folder and ports are others: it is well, says so, and ends when it is told to."""
    for option, value in (("--out", str(tmp_path / "node")), ("--port", "0")):
        words[words.index(option) + 1] = value
    words[words.index("--metrics-port") + 1] = "0"
    with (tmp_path / "log.txt").open("wb") as log:
        node = subprocess.Popen([ENDOMETER, *words], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        said = node.stdout.readline() + node.stdout.readline()
        page = re.search(r"http://\S+", said)
        assert page, said + (tmp_path / "log.txt").read_text()
        with urllib.request.urlopen(f"{page[0]}/health", timeout=10) as answer:
            assert json.load(answer) == {"status": "ok", "problems": []}
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0, (tmp_path / "log.txt").read_text()
    finally:
        node.kill()
        node.wait()
        node.stdout.close()
