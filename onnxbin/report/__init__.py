"""One self-contained page about a compression: what it reached, what it cost, what that looks like.

Data flows `run` (the folder of a compression) -> `measure` (latency and accuracy of each step's model) and
`pictures` (before and after) -> `figures` (all numbers, also as JSON) -> `plots` and `page` -> `write`, which
leads through all of it. Needs the extra `report`: jinja2 for the page, matplotlib for the plots.
"""

from onnxbin.errors import OnnxbinError

try:
    from onnxbin.report.write import Report, write_report
except ModuleNotFoundError as error:
    if error.name not in ("jinja2", "matplotlib"):
        raise
    raise OnnxbinError(f"a report needs {error.name}: `pip install 'onnxbin[report]'`") from None

__all__ = ["Report", "write_report"]
