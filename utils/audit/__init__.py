"""Rows about every training image (`samples.csv`), and the listing of label errors (`python -m utils.audit`)."""
