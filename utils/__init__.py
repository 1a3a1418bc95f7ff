"""Seeds, files, run folders, metrics, plots and command-line helpers. Imports nothing from the other packages."""
