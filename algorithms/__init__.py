"""One method per file; `base.py` and `task.py` say what a method is and what it gets.

parts/: mathematics that several methods share. training/: the trainer, stages and the life of a run. command/: from
command lines to runs and searches.
"""
