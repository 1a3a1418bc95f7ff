"""The corruptions of CIFAR-10-C, which Corrupted CIFAR-10 uses as bias."""
