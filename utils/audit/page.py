"""A page with every suspicious image, what it is called, what it may be, and the images that look most like it."""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from utils.audit.ranking import Ranking
from utils.audit.samples import Samples
from utils.audit.suspects import Suspects
from utils.escape import printable


def page(title: str, samples: Samples, ranking: Ranking, suspects: Suspects, about: list[str]) -> str:
    """The HTML, with all pictures in it; `about` are lines on how much the list can be believed."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip

    def image(position: int) -> dict[str, Any]:
        stream = io.BytesIO()
        Image.fromarray(suspects.picture(position)).save(stream, format="png")
        return {
            "picture": base64.b64encode(stream.getvalue()).decode("ascii"),
            **{name: printable(str(samples[name][position])) for name in ("index", "file", "given_label")},
        }

    rows = [
        {
            **image(position),
            "other": printable(str(ranking.other[position])),
            "confidence": ranking.confidence[position],
            "neighbours": [image(neighbour) for neighbour in near],
        }
        for position, near in zip(suspects.index.tolist(), suspects.neighbours.tolist(), strict=True)
    ]
    confident = [row for row in rows if np.isfinite(row["confidence"])]
    return environment.get_template("page.html").render(
        title=printable(title), rows=confident, words=ranking.words, about=list(map(printable, about))
    )
