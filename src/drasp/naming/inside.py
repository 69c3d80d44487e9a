"""Heads described from the model's own attention, layer by layer, over the variables that a program could have there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from drasp.ir.nodes import ONE_READ, POS, TOKEN, Aggregate, Prediction, Project, Read, Select, Statement
from drasp.ir.operators import Sum
from drasp.ir.primitives.tables import Entries, Rows
from drasp.ir.program import Header, Program, alive
from drasp.learn.trial import Doing, Steps
from drasp.learn.values import Source
from drasp.model.wiring import Sender
from drasp.naming.attention import Attention, Feature, How, NamedHead, Queries, attention_rows, describe, described_by, features_between
from drasp.naming.tuning import InsideTuning
from drasp.tasks.protocol import Sample


@dataclass(frozen=True)
class Seen:
    """Sequences with the model's attention.

    Attributes:
        attention: for each head what it attends to, (batch, time, time).
    """

    sample: Sample
    attention: Mapping[Sender, np.ndarray]


@dataclass
class Inside:
    """The heads of a model that are described so far.

    Attributes:
        layers, heads: how many the model has.
        ladders: for each head ever closer descriptions.
        chosen: the description taken of each; two heads of a layer that attend alike share one.
        rows: for each head the rows of its attention that it was described by.
        exact: the heads whose ladder goes on to exact descriptions.
    """

    header: Header
    layers: int
    heads: int
    tuning: InsideTuning
    ladders: dict[Sender, list[NamedHead]] = field(default_factory=dict)
    chosen: dict[Sender, NamedHead] = field(default_factory=dict)
    rows: dict[Sender, Queries] = field(default_factory=dict)
    exact: set[Sender] = field(default_factory=set)

    def program(self, sources: Sequence[Source]) -> Program:
        """The described heads with the averages that `sources` ask for, and a projection that reads each of these."""
        statements = list(self._statements(sources))
        reads = [self.read(source) for source in sources if source.heads]
        projections = [Project(f"logits{i}", read, Sum()) for i, read in enumerate(dict.fromkeys(reads))]
        projections.append(Project("logits", ONE_READ, Sum()))
        prediction = Prediction(tuple(p.name for p in projections))
        return Program(self.header, tuple(alive([*statements, *projections, prediction])), {})

    def _statements(self, sources: Sequence[Source]) -> Iterator[Statement]:
        """Layer by layer the selectors of each head, and every average of it that something may read."""
        wanted = {part for source in sources for part in _parts(source)}
        wanted |= {Source((head,), of) for head in self.chosen for of in ("token", "pos")}
        done: set[str] = set()
        for head in sorted(self.chosen):
            for select in self.chosen[head].selects:
                if select.name not in done:
                    done.add(select.name)
                    yield select
            for source in sorted((s for s in wanted if s.heads[0] == head), key=lambda s: (len(s.heads), s.of)):
                name = self.read(source).variable
                if name not in done:
                    done.add(name)
                    selectors = tuple(select.name for select in self.chosen[head].selects)
                    yield Aggregate(name, selectors, self.read(Source(source.heads[1:], source.of)))

    def read(self, source: Source) -> Read:
        """What a source is called; heads that share a description share their averages."""
        if not source.heads:
            return TOKEN if source.of == "token" else POS
        return Read("a" + "".join(f"_{h.layer}_{h.head}" for h in map(self._first, source.heads)) + ("t" if source.of == "token" else "p"))

    def _first(self, head: Sender) -> Sender:
        """The first head of the layer with the same description."""
        return next(h for h in sorted(self.chosen) if h.layer == head.layer and self.chosen[h].selects == self.chosen[head].selects)

    def variables(self, layer: int) -> list[Read]:
        """What the heads of a layer may read: tokens, positions, and the averages of both under each head below."""
        below = [Source((head,), of) for head in sorted(self.chosen) if head.layer < layer for of in ("token", "pos")]
        return list(dict.fromkeys([TOKEN, POS, *map(self.read, below)]))

    def below(self, layer: int) -> Program:
        """The program of the heads below a layer, with the averages that the heads of that layer may read."""
        return self.program([Source((h,), of) for h in self.chosen if h.layer < layer for of in ("token", "pos")])

    def averages(self) -> dict[str, list[Sender]]:
        """For each average, of averages too, the heads whose attention gives it."""
        found: dict[str, list[Sender]] = {}
        for source in self._sources(self.layers):
            heads = found.setdefault(self.read(source).variable, [])
            if source.heads[0] not in heads:
                heads.append(source.heads[0])
        return found

    def _sources(self, layer: int) -> Iterator[Source]:
        """Every average under the heads below a layer."""
        for head in (h for h in sorted(self.chosen) if h.layer < layer):
            yield from (Source((head,), of) for of in ("token", "pos"))
            yield from (Source((head, *below.heads), below.of) for below in self._sources(head.layer))

    def take(self, selects: Mapping[str, Select]) -> None:
        """Other selectors in the place of those of the same name."""
        for head, chosen in self.chosen.items():
            self.chosen[head] = replace(chosen, selects=tuple(selects.get(s.name, s) for s in chosen.selects))


def _parts(source: Source) -> Iterator[Source]:
    """The source and the averages that it is an average of."""
    while source.heads:
        yield source
        source = Source(source.heads[1:], source.of)


def describe_heads(inside: Inside, seen: Sequence[Seen], needed: Sequence[Source], near: float | None, how: How) -> Steps[bool]:
    """Describes the heads that the sources need, and those below them that their attention may depend on; whether anything is new.

    Args:
        near: total variation within which the shortest description of each head is taken; None: described as exactly as can be.
    """
    within = inside.tuning.exact.near if near is None else near
    before = dict(inside.chosen)
    top = max((head.layer for source in needed for head in source.heads), default=-1)
    direct = {head for source in needed for head in source.heads}
    for layer in range(top + 1):
        for number in range(inside.heads):
            head = Sender("head", layer, number)
            if layer < top or head in direct:
                if head not in inside.ladders or any(before[h] != inside.chosen[h] for h in before if h.layer < layer):
                    yield Doing(f"describing head {number} of layer {layer}")
                    _describe_head(inside, seen, head, how)
                if near is None and head not in inside.exact and inside.ladders[head][-1].total_variation > within:
                    yield Doing(f"describing head {number} of layer {layer} exactly")
                    inside.ladders[head] += _exact_ladder(inside, head, how)
                    inside.exact.add(head)
                _choose(inside, head, within)
    return before != inside.chosen


def _describe_head(inside: Inside, seen: Sequence[Seen], head: Sender, how: How) -> None:
    last = head.layer == inside.layers - 1
    inside.exact.discard(head)
    real = [s.sample.scored if last else s.sample.real(inside.header.bidirectional) for s in seen]
    given = [Attention(s.sample, s.attention[head], where) for s, where in zip(seen, real, strict=True)]
    rows = attention_rows(inside.below(head.layer), given, [ONE_READ, *inside.variables(head.layer)], how)
    if rows is None:
        inside.ladders[head] = [NamedHead((), 0.0)]
        return
    inside.rows[head] = rows
    inside.ladders[head] = _ladder(inside, head, _features(inside, head, how), how)


def _exact_ladder(inside: Inside, head: Sender, how: How) -> list[NamedHead]:
    """Closer ones, with strengths as small as they are; of tables one by pairs, none by keys beside it."""
    how = replace(how, tuning=inside.tuning.exact)
    features = _features(inside, head, how)
    paired = {f.key for f in features if isinstance(f.primitive, Rows)}
    return _ladder(inside, head, [f for f in features if f.key not in paired or not isinstance(f.primitive, Entries)], how)


def _features(inside: Inside, head: Sender, how: How) -> list[Feature]:
    """What a head's descriptions may be made of."""
    variables = inside.variables(head.layer)
    return list(features_between(inside.below(head.layer), variables, variables, how.tuning))


def _ladder(inside: Inside, head: Sender, features: Sequence[Feature], how: How) -> list[NamedHead]:
    """Ever closer descriptions of a head."""
    return describe(inside.below(head.layer), features, inside.rows[head], f"s{head.layer}_{head.head}_", how)


def _choose(inside: Inside, head: Sender, near: float) -> None:
    """The shortest description that is near enough, else the nearest; that of another head of the layer where the two attend alike."""
    ladder = inside.ladders[head]
    within = [found for found in ladder if found.total_variation <= near]
    chosen = within[0] if within else min(ladder, key=lambda found: found.total_variation)
    others = [h for h in sorted(inside.chosen) if h.layer == head.layer and h.head < head.head]
    for other in others if head in inside.rows else ():
        off = described_by(inside.below(head.layer), inside.chosen[other].selects, inside.rows[head])
        if off <= max(near, chosen.total_variation + inside.tuning.alike):
            chosen = replace(inside.chosen[other], total_variation=off)
            break
    inside.chosen[head] = chosen
