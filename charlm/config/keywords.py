"""Keywords of charlm.train and Model.sample, generated from declarations. Do not edit: run `make generated`."""

from typing import TypedDict


class Settings(TypedDict, total=False):
    """Settings of a run, by the names of `charlm train`'s options. The default applies to those that are left out."""

    # Steps per update. artbp takes --mean-length instead. Default: 64; 32 with --once.
    k1: int | None
    # Steps that errors go back from the end of an update's block. adaptive starts with this k2; artbp takes none.
    # Default: k1.
    k2: int | None
    # Which losses an update uses: those of the newest k1 steps (newest) or of the whole window of k2 steps (window).
    # artbp cuts at random and is unbiased. adaptive is newest with a k2 that it chooses by measurement. Default:
    # newest.
    truncation: str
    # Memory for activations. A block that needs more is split, and its forward pass is computed twice. Needs newest
    # with k2 up to k1, or artbp. Default: 0, no limit.
    memory: int
    # Mean length of artbp's segments. Default: 64.
    mean_length: float | None
    # Tail exponent of artbp: P(segment length = n) falls as n^-A. Default: 6.
    tail: float | None
    # Longest segment of artbp; a limit biases the gradient. Default: 0, no limit.
    max_length: int | None
    # Relative bias that adaptive accepts. Default: 0.1.
    bias_tolerance: float | None
    # Largest k2 of adaptive. Default: 8 times k1.
    max_k2: int | None
    # Reset the whole state to zero at the start of each epoch, at each block of k1 steps, at each line end, or never.
    # Default: epoch.
    reset: str | None
    # Reset the state every N characters of a stream instead.
    reset_every: int | None
    # Reset the state after each occurrence of TEXT instead.
    reset_after: str | None
    # Parts of the corpus that are read side by side. Default: 32, fewer for a small corpus; 1 with --once.
    streams: int
    # Kind of cell; see charlm guide networks. Default: lstm.
    cell: str
    # Activation of rnn and indrnn cells. Default: tanh.
    activation: str
    # Hidden units per layer. Default: 256; 128 with --once.
    hidden: int
    # Number of layers. Default: 2; 1 with --once.
    layers: int
    # Share of units dropped between layers and before the output layer. Default: 0.1; 0.4 below 500,000 characters, 0
    # above 10 million; 0 with --once.
    dropout: float
    # Add the input of each layer to its output, from the second layer on.
    residual: bool
    # Normalise each layer's output over its units (layer); each gate's sum over its units, and an LSTM's memory (cell);
    # the input's part of the gates over the streams and steps of a block (batch); or the input's part as batch does,
    # the state's part and an LSTM's memory over units (both). batch and both exclude --memory and --once. Default:
    # none.
    norm: str
    # Another name for --norm layer.
    layer_norm: bool
    # One number for each layer: a layer of clock n steps once in n characters, and its errors go back up to n times k2
    # characters. The first is 1. Implies --residual, so that the output depends on every character. Default: 1 for each
    # layer.
    clocks: str
    # Longest context, in characters. What followed each context in the text is counted in tables, which add to the
    # network's prediction (direct connections). 0: no tables. Default: 8; 32 with --once.
    direct_order: int
    # Shortest context. Between it and the longest, those of 1, 2, 3, 4, 5, 6, 8, 12, 20 and 32 characters are counted
    # too. Default: 2; 1 with --once.
    direct_shortest: int
    # Memory for the tables of --direct-order. Training takes three times this memory in all; --once takes it once.
    # Default: room for the corpus, at most 128.
    direct_size: int | None
    # Initial bias of the gate that keeps the state: f of lstm, z of gru, f of mlstm, z of mingru. The state decays to a
    # third in about e^B steps. Default: 1 for lstm, 0 for gru, 1 for mlstm, 0 for mingru.
    forget_bias: float | None
    # Seed of initial parameters, dropout and cuts. Default: 0.
    seed: int
    # Optimizer. Default: adamw.
    optimizer: str
    # Learning rate. Default: 0.006; 0.004 with --once.
    lr: float
    # Momentum of rmsprop and sgd. Default: 0.
    momentum: float
    # Use Nesterov's momentum with sgd.
    nesterov: bool
    # Weight decay of matrices. Biases do not decay. Default: 0.1 for adamw, 0 for others; 0 with --once.
    weight_decay: float | None
    # Largest global norm of the gradient; 0 turns clipping off. Default: 1.
    clip: float
    # How the learning rate changes: not at all (constant), along half a cosine down to 2 % of it at the end of the run
    # (cosine), or by halving after 2 validations in a row without improvement (plateau). Default: cosine.
    schedule: str
    # Updates over which the learning rate rises from 0. Default: 0.
    warmup: int
    # Train for X epochs, counted from the start of the run. Default: 1 with --once.
    epochs: float | None
    # Train for N updates, counted from the start of the run; 0 only initialises.
    updates: int | None
    # Train for X minutes, counted from the start of the run. Compiling, validating and saving do not count. Default: 3.
    minutes: float | None
    # The tables of --direct-order join the network for the last X epochs of the run, and the schedule begins anew; in a
    # shorter run they are there from the start. Default: 2.
    direct_epochs: float
    # Stop after N validations without improvement. Default: 0, never.
    patience: int
    # Validate every N updates. Default: 0, which validates up to 20 times and takes about a twentieth of the time.
    eval_every: int
    # Read the whole corpus a single time, and report its code length under a model that learns as it reads (prequential
    # coding).
    once: bool
    # After divergence, return to the last good state with half the learning rate, at most N times. Default: 5.
    max_rollbacks: int
    # Validation text. Default: the end of the corpus.
    val_file: str | None
    # Share of the corpus held out at its end; 0 holds out nothing. Default: 0.1; 0 with --once.
    val_fraction: float
    # With mpiexec: updates that each process makes on its own streams before the parameters are averaged. Default: 1.
    sync_every: int
    # Model bytes instead of characters. Any file will do.
    use_bytes: bool


class DrawOptions(TypedDict, total=False):
    """Keywords for how characters are drawn."""

    # Divide logits by this; 0 (or below 1e-6) takes the most likely character. Default: 1.
    temperature: float
    # Draw only from the k most likely characters and those tied with the k-th. Default: 0.
    top_k: int
    # Draw only from the smallest set of most likely characters whose probabilities add up to this share. With --top-k,
    # a share of what that leaves. Default: 1.
    top_p: float
    # Make the text repeatable. Default: 0.
    seed: int
