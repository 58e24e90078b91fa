"""Use a trained model: evaluation, line scoring, dynamic evaluation, sampling, beam search."""
