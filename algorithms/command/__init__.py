"""From a command line to a run or a search: flags, presets, lists, and the tuning of hyper-parameters."""
