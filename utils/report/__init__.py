"""Web pages about all runs below a log folder: `python -m utils.report`."""
