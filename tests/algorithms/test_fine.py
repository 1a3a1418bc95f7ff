"""What FINE keeps after training."""

import torch

from algorithms.parts.alignment import aligned_probability, alignment


def test_keeps_the_aligned_samples_of_its_network(make):
    method = make("fine", p_threshold=0.3).eval()
    labels, images = method.task.train.labels, method.task.train.images
    with torch.inference_mode():
        features = method.network.extract(images.float() / 255)
    scores = alignment(features, labels)
    kept, score = method.select()
    torch.testing.assert_close(score, scores)
    assert kept.tolist() == (aligned_probability(scores, labels) > 0.3).nonzero().flatten().tolist()
    assert 2 <= len(kept) < 96


def test_one_trained_network_serves_all_thresholds(make):
    one, other = make("fine", p_threshold=0.1).eval(), make("fine", p_threshold=0.7).eval()
    few, many = other.select()[0].tolist(), one.select()[0].tolist()
    assert set(few) < set(many)
