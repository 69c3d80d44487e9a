"""What is known of the tasks of the suite from the literature."""

C_RASP: dict[str, tuple[bool, bool]] = {
    "bin_majority": (True, True),
    "bin_majority_interleave": (True, False),
    "majority": (True, True),
    "sort": (True, True),
    "unique_copy": (True, False),
    "repeat_copy": (False, False),
    "parity": (False, False),
    "addition": (False, False),
    "D2": (True, True),
    "D3": (True, True),
    "D4": (True, True),
    "D12": (True, True),
    "tomita1": (True, True),
    "tomita2": (True, True),
    "tomita3": (False, False),
    "tomita4": (True, False),
    "tomita5": (False, False),
    "tomita6": (False, False),
    "tomita7": (True, True),
    "abcde": (True, True),
    "ab_d_bc": (True, True),
    "012_0_2": (False, False),
    "aastar": (True, False),
    "aaaastar": (True, False),
    "ababstar": (True, False),
}
"""Whether a task has a program in C-RASP with periodic and local functions, and in C-RASP without positions: Huang et al., "A Formal
Framework for Understanding Length Generalization in Transformers", arXiv 2410.02140. Tasks that it does not have are not here."""


def in_crasp(task: str, position: str) -> bool | None:
    """Whether a task has a program in C-RASP, where the model's position embedding is "learned" or "none"; None where nobody says."""
    if task not in C_RASP or position not in ("learned", "none"):
        return None
    return C_RASP[task][position == "none"]
