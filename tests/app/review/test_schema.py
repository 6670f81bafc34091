"""Requests that nobody thinks of, made from the API's own description (schemathesis)."""

import pytest
from hypothesis import HealthCheck, given, settings
from review_run import Seat
from test_worklist import put, table_row

schemathesis = pytest.importorskip("schemathesis")

from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.review.server import create_app  # noqa: E402
from app.review.settings import Settings  # noqa: E402

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(measured, tmp_path_factory):
    """The description of the API as an admin gets it, and somebody with a session."""
    import shutil

    folder = tmp_path_factory.mktemp("schema") / "results"
    shutil.copytree(measured / "results", folder)
    app = create_app(Settings(folder=folder, port=8000, prefetch=False))
    person = Seat(app).enter()
    schema = app.openapi()
    clip = person.clip("a/one.dcm")["id"]
    # Random ids and points would never meet a clip: here they shall.
    for path in schema["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "key":
                    parameter["schema"]["enum"] = [clip]
                    del parameter["schema"]["pattern"]
                if parameter["name"] == "number":
                    parameter["schema"]["maximum"] = 2
    for given_ in ("ReviewIn", "SnapIn"):
        narrow(schema["components"]["schemas"][given_])
    yield app, person, schema
    app.state.desk.close()


def test_the_description_names_every_answer_of_every_request(described):
    _, _, schema = described
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert {"400", "403", "421"} <= set(operation["responses"]), (method, path)
            if method != "get":
                assert operation["responses"].keys() & {"401"}, (method, path)


def narrow(part):
    """Let coordinates lie within the picture, and frames and versions be few."""
    if isinstance(part, dict):
        if part.get("minimum") == -100_000:
            part.update(minimum=100, maximum=300)
        if part.get("maximum") in (1_000_000, 1_000_000_000):
            part["maximum"] = 2
        for inner in part.values():
            narrow(inner)
    if isinstance(part, list):
        for inner in part:
            narrow(inner)


OPERATIONS = [
    ("get", "/health"),
    ("get", "/api/me"),
    ("get", "/api/worklist"),
    ("get", "/api/worklist/ids"),
    ("get", "/api/clip/{key}"),
    ("get", "/api/clip/{key}/frame/{number}"),
    ("post", "/api/clip/{key}/snap"),
    ("post", "/api/clip/{key}/reviews"),
    ("get", "/frames/{key}/{number}.png"),
    ("get", "/thumbnails/{key}.jpg"),
    ("post", "/api/login"),
    ("post", "/api/logout"),
    ("get", "/api/users"),
    ("post", "/api/users"),
    ("post", "/api/users/{name}/password"),
    ("delete", "/api/users/{name}"),
]


def test_no_operation_is_left_out(described):
    _, _, schema = described
    there = {(method, path) for path, found in schema["paths"].items() for method in found}
    assert there == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_breaks_the_server_or_its_description(described, at, method, path):
    app, person, description = described
    if path.startswith(("/api/users", "/api/login")):
        person = at("ada")
        if "login" in path:
            person.client.cookies.clear()
            person.read_csrf("/login")
        app, address = person.app, "https://clinic.test"
    else:
        address = "http://127.0.0.1:8000"
    schema = schemathesis.openapi.from_dict(description)
    schema.app = app

    @given(schema[path][method].as_strategy())
    @settings(max_examples=15, suppress_health_check=list(HealthCheck), database=None)
    def ask(case):
        if path == "/api/logout" and person.get("/api/me").status_code == 401:
            person.enter()
        answer = case.call(
            base_url=address,
            headers={"X-CSRF-Token": person.csrf},
            cookies=dict(person.client.cookies),
        )
        case.validate_response(answer, checks=CHECKS)

    ask()


def test_rows_of_any_kind_are_listed(run, seat):
    """Values that a table may hold and a description must allow."""
    odd = [
        table_row(1, acquired_at=None, frames=None, quality=None),
        table_row(2, status="failed", sha256=None, message="x" * 5000, call=None),
        table_row(3, reason="low_quality", status="not_measurable", thickness_mm=None, call=None),
        table_row(4, fluid=True, sonographer_mm=9.0, patient_id="\x1b[31m"),
    ]
    put(run, odd)
    person = seat().enter()
    assert len(person.items()) == 4
    for item in person.items():
        assert person.json(f"/api/clip/{item['id']}")["id"] == item["id"]
