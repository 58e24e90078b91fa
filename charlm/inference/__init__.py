"""What a trained model is used for: evaluation, line scoring, sampling, beam search."""
