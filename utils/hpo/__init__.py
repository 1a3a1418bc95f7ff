"""Hyper-parameter optimisation: the history of trials, and the engines that suggest and run them."""
