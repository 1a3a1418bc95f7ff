"""Biased, noisy image data sets held in memory, and the batches drawn from them. Imports only `utils`."""
