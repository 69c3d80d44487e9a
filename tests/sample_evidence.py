"""The evidence of a run that never was, for tests of what shows it."""

from typing import Any

from drasp.ir.program import Program


def sample_evidence(program: Program, task: str = "tomita4") -> dict[str, Any]:
    """What `evidence.json` holds, with invented figures."""
    share = {"lengths": [0, 50], "accuracy": 0.9987, "low": 0.9979, "high": 0.9992, "sequences": 6667}
    shares = {"all": share, "bands": [share, {**share, "lengths": [51, 100]}]}
    return {
        "verdict": "decompiled",
        "interrupted": False,
        "stopped_by_time": False,
        "match": shares,
        "task": shares,
        "model_task": shares,
        "baseline": {"constant": shares, "current_token": shares},
        "lines": [{"statement": statement.name, "match": 0.125} for statement in program.statements[:-1]],
        "seed": 0,
        "settings": {"task": task},
        "versions": {"drasp": "0.1.0"},
        "model": {"sha256": "ab" * 32, "layers": 1, "heads": 1, "width": 16},
    }
