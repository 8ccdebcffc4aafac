"""A peer's own check for denied terms, run by the interpreter of the peer's environment; imports nothing of ours.

    PYTHON word_peer.py SETTING JOB.json OUT.json

The job has `terms`, `texts` (each is judged) and `timed` (each is judged `rounds` times after one round unmeasured).
OUT gets `blocked`, `milliseconds` per timed text, and `build_seconds`. Imports stand in functions: an environment has
one peer only.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Blocks = Callable[[str], bool]


def main() -> None:
    setting, job_path, out_path = sys.argv[1:]
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    started = time.perf_counter()
    blocks = SETTINGS[setting](job["terms"])
    report: dict[str, Any] = {"build_seconds": time.perf_counter() - started}
    report["blocked"] = [blocks(text) for text in job["texts"]]
    report["milliseconds"] = []
    for number in range(job["rounds"] + 1):
        for text in job["timed"]:
            started = time.perf_counter()
            blocks(text)
            if number:
                report["milliseconds"].append((time.perf_counter() - started) * 1e3)
    Path(out_path).write_text(json.dumps(report), encoding="utf-8")


def llm_guard(terms: list[str], match: str, invisible: bool = False) -> Blocks:
    """BanSubstrings, without regard to case. `invisible`: what InvisibleText takes out is taken out before."""
    from llm_guard.input_scanners.ban_substrings import BanSubstrings  # noqa: PLC0415
    from llm_guard.input_scanners.invisible_text import InvisibleText  # noqa: PLC0415
    from llm_guard.util import configure_logger  # noqa: PLC0415

    # Its warnings for every text would be most of what is timed.
    configure_logger("CRITICAL")
    banned, unseen = BanSubstrings(terms, match_type=match), InvisibleText()

    def blocks(text: str) -> bool:
        valid: bool = banned.scan(unseen.scan(text)[0] if invisible else text)[1]
        return not valid

    return blocks


def nemo(terms: list[str]) -> Blocks:
    """The regex rail's action: a pattern a term, without regard to case, Latin terms as whole words."""
    from nemoguardrails import RailsConfig  # noqa: PLC0415
    from nemoguardrails.library.regex.actions import detect_regex_pattern  # noqa: PLC0415

    patterns = [rf"\b{re.escape(term)}\b" if term.isascii() else re.escape(term) for term in terms]
    detection = {"input": {"patterns": patterns, "case_insensitive": True}}
    content = json.dumps({"models": [], "rails": {"config": {"regex_detection": detection}}})
    config = RailsConfig.from_content(yaml_content=content)
    loop = asyncio.new_event_loop()

    def blocks(text: str) -> bool:
        outcome = loop.run_until_complete(detect_regex_pattern("input", text, config))
        return bool(outcome.metadata["is_match"])

    return blocks


def guardrails_ai(terms: list[str], distance: int) -> Blocks:
    """The validator BanList, asked without the Guard around it. `distance`: edits that still count as the term."""
    from guardrails_ai.ban_list import BanList  # noqa: PLC0415

    banned = BanList(banned_words=terms, max_l_dist=distance)

    def blocks(text: str) -> bool:
        try:
            return bool(banned.validate(text, {}).outcome == "fail")
        except IndexError:
            # It looks up where a match ended one place too far when the match ends the text; it had found one.
            return True

    return blocks


SETTINGS: dict[str, Callable[[list[str]], Blocks]] = {
    "llm_guard.str": lambda terms: llm_guard(terms, "str"),
    "llm_guard.word": lambda terms: llm_guard(terms, "word"),
    "llm_guard.str+invisible": lambda terms: llm_guard(terms, "str", invisible=True),
    "nemo.regex": nemo,
    "guardrails_ai.distance0": lambda terms: guardrails_ai(terms, 0),
    "guardrails_ai.distance1": lambda terms: guardrails_ai(terms, 1),
}

if __name__ == "__main__":
    main()
