"""Where values stand in models of other libraries."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """Where in a model the values stand that are compared, `{}` for the layer: paths of modules, the values being what they put out.

    Attributes:
        first: the first layer; what goes in is what the embeddings give.
    """

    first: str
    attention: str
    mlp: str
    layer: str
    norm: str
