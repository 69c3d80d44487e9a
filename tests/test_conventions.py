"""Tasks that ask a model otherwise than it was trained: it is told in a line, with both figures, before anything is searched."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

import drasp
from drasp.evidence.conventions import Conventions, ConventionTuning, conventions
from drasp.learn.pools import Study
from drasp.model.forward import TorchTransformer
from drasp.model.transformer import LayerNorm, Transformer
from drasp.search.decompile import Session, decompile
from drasp.search.settings import Settings
from drasp.tasks.protocol import Task
from drasp.view.terminal import terminal
from small_models import random_transformer

ALTERNATING = ["ab" * n for n in range(2, 9)] + ["ab" * n + "a" for n in range(2, 9)]


def _model() -> Transformer:
    """It predicts "b" at even positions and "a" at odd ones, whatever it reads."""
    model = random_transformer(1, 1, 0, vocabulary=3)
    block = model.blocks[0]
    unit = np.eye(8)
    return replace(
        model,
        token_embedding=0 * model.token_embedding,
        position_embedding=unit[np.arange(20) % 2],
        unembedding=unit[:, [1, 0, 2]],
        blocks=(replace(block, w_head_out=0 * block.w_head_out, b_head_out=0 * block.b_head_out, mlp=None),),
        norm_final=LayerNorm(np.ones(8), np.zeros(8), 1e-5),
    )


def _told(task: Task) -> Conventions | None:
    model = _model()
    return conventions(Study(model, task, TorchTransformer(model)), (0, 150), 0, ConventionTuning())


def _task(**how: object) -> Task:
    return drasp.examples(ALTERNATING, scored=range(3), vocabulary="abc", **how)  # type: ignore[arg-type]


def test_nothing_is_told_where_the_task_is_as_the_model_was_trained() -> None:
    assert _told(_task()) is None
    assert _told(drasp.examples(ALTERNATING, vocabulary="abc")) is None  # nobody says what is right


def test_random_offsets_of_a_model_trained_from_position_0(tmp_path: Path) -> None:
    header = {"vocabulary": ["a", "b", "c"], "predict": "next-token", "positions": 20}
    lines = [json.dumps(line) for line in (header, *({"tokens": list(word), "scored": [0, 1, 2]} for word in ALTERNATING))]
    (tmp_path / "words.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = _told(drasp.load_task(str(tmp_path / "words.jsonl")))
    assert found is not None
    assert 0.3 < found.right < 0.7
    assert (found.otherwise, found.right_otherwise) == ("with positions from 0", 1.0)
    assert "but on 1.000 with positions from 0: is the task as the model was trained?" in found.line


def test_positions_that_are_one_off() -> None:
    assert _told(_task(offset=1)) == Conventions(0.0, "with positions from 0", 1.0)


def test_answers_that_are_one_off() -> None:
    model, unit = _model(), np.eye(8)
    model = replace(model, token_embedding=unit[:3], position_embedding=0 * model.position_embedding, unembedding=unit[:, [2, 0, 1]])
    task = drasp.examples(["abcabc", "bcabca", "cabcab", "abcab"], scored=[1, 2], answers=lambda word: word[1:3])  # what stands there
    found = conventions(Study(model, task, TorchTransformer(model)), (0, 150), 0, ConventionTuning())
    assert found == Conventions(0.0, "read off one position earlier", 1.0)


def test_a_token_in_front_that_the_model_never_saw() -> None:
    task = drasp.examples(["c" + word for word in (*ALTERNATING, "ab" * 9 + "a")], scored=range(1, 4))  # the longest has no other place
    found = conventions(Study(_model(), task, TorchTransformer(_model())), (20, 20), 0, ConventionTuning())
    assert found is not None
    assert (found.otherwise, found.right_otherwise) == ("without c in front", 1.0)


def test_a_vocabulary_in_another_order_is_told_too() -> None:
    found = _told(drasp.examples(ALTERNATING, scored=range(3), vocabulary="cba"))
    assert found == Conventions(0.0)
    assert "is right on 0.000 of the task's sequences: are its vocabulary" in found.line


def test_it_stands_on_the_screen_before_the_search_and_in_the_evidence() -> None:
    told: list[str] = []
    phases: list[str] = []
    session = Session(say=lambda line: told.append(f"{line} {len(phases)}"), report=lambda progress: phases.append(progress.phase))
    found = decompile(_model(), _task(offset=1), Settings(time=4, evidence="quick"), session)
    assert [line.endswith("trained? 0") for line in told] == [True]
    assert found.evidence.conventions is not None
    assert found.evidence.conventions.line in " ".join(terminal(found.program, found.evidence).split())
