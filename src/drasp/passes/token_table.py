"""The program that looks at the current token alone: the least there is, and what is left where nothing better is found."""

from collections.abc import Sequence

import torch

from drasp.ir.nodes import TOKEN, Prediction, Project
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.learn.pools import Batch


def token_table(header: Header, batches: Sequence[Batch]) -> Program:
    """The mean of the model's logits for each current token."""
    device = batches[0].model_logits.device
    total = torch.zeros(len(header.vocabulary), len(header.predicted), device=device)
    counts = torch.zeros(len(header.vocabulary), 1, device=device)
    for batch in batches:
        ids = batch.token_ids[batch.scored]
        total.index_add_(0, ids, batch.model_logits)
        counts.index_add_(0, ids, torch.ones(len(ids), 1, device=device))
    table = (total / counts.clamp(min=1)).double().cpu().numpy()
    return Program(header, (Project("logits0", TOKEN, Dense("B0")), Prediction(("logits0",))), {"B0": table})
