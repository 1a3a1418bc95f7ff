"""Tables and figures of results: of one run, and collected over many (`python -m utils.results`)."""
