"""How a page is made: a template becomes plain HTML and SVG, no script, no address outside.

`base.html` here holds the look of every page, `charts.html` the drawing of a `Plot`.
"""

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def render(template: Path, **values: Any) -> str:
    """Return the page that a template makes of `values`; what it does not know of raises.

    Every value is text for people until the template says otherwise: markup in it is escaped.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(values)
