"""The guardrail chain on the way of a request: texts out of the body, the chain's word back into it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson

from app.chat.guarded_request import GuardedRequest, read_guarded
from app.chat.policies import PolicyLibrary
from app.chat.rails import CONTENT, InputResult, OutputRail, Turn
from app.chat.sessions import Sessions, session_of
from app.chat.tickets import TicketQueue
from app.errors import bad_request, unavailable
from app.state.connection import StateUnavailable
from guardrails.chain import Chain, InputOutcome
from guardrails.output import Channel, Output
from guardrails.session import Session
from guardrails.trace import TraceEntry
from guardrails.verdict import Decision, Verdict

# Characters that the checks of text alone read in well under a millisecond; more leave the event loop.
INLINE_CHARACTERS = 1500


class ChainOutput:
    """The output rail over one generation's guard."""

    def __init__(self, output: Output) -> None:
        self._output = output

    @property
    def waits(self) -> bool:
        """Whether it may wait for another server."""
        return self._output.waits

    def feed(self, choice: int, text: str, kind: str = CONTENT) -> str:
        """Take new text of a channel, return what may leave now."""
        return self._output.feed(Channel(choice, kind), text)

    def finish(self, choice: int, kind: str = CONTENT) -> str:
        """The channel has ended: return what was still held."""
        return self._output.finish(Channel(choice, kind))

    def check_whole(self, choice: int, text: str) -> str | None:
        """A text that leaves in one piece, as it may leave; None if it must not."""
        return self._output.check_whole(choice, text)

    def blocked(self, choice: int) -> bool:
        """Whether the choice was refused."""
        return self._output.blocked(choice)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Everything decided so far."""
        return self._output.verdicts()

    def trace(self) -> tuple[TraceEntry, ...]:
        """What each check did."""
        return self._output.trace()


class ChainRails:
    """Rails of every assistant that names a policy; others pass unchecked."""

    def __init__(
        self,
        policies: PolicyLibrary,
        sessions: Sessions,
        tickets: TicketQueue,
        on_ticket: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._policies = policies
        self._sessions = sessions
        self._tickets = tickets
        self._on_ticket = on_ticket
        self._texts = ThreadPoolExecutor(2, thread_name_prefix="checks")
        # One: the embedding model is not made for several threads, and two of them slow each other down.
        self._answers = ThreadPoolExecutor(1, thread_name_prefix="answers")

    def close(self) -> None:
        """End the threads."""
        self._texts.shutdown(wait=False, cancel_futures=True)
        self._answers.shutdown(wait=False, cancel_futures=True)

    async def check_input(self, turn: Turn) -> InputResult:
        """Run the input checks. Raises ApiError for what cannot be checked."""
        assistant = turn.assistant
        if assistant is None or assistant.policy is None:
            return InputResult(turn.body)
        chain = self._policies.chain(assistant.policy)
        if chain is None:
            raise unavailable(
                "policy_missing", f"The policy of `{assistant.name}` is not ready.", retry_after=5
            )
        request = read_guarded(turn.body)
        if request.prompts > 1:
            return await self._several(turn, request, chain)
        session, fresh = session_of(turn.body, request.messages, turn.key_id, assistant.name)
        outcome = await self._screen(chain, request)
        if outcome.reply is None and chain.policy.answers is not None:
            known = Session() if fresh else await self._sessions.read(session)
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(self._answers, chain.respond, outcome, known)
        outcome = await self._hand_over(turn, outcome)
        await self._sessions.count(
            session, outcome.counted, chain.policy.settings.ladder.session_seconds, fresh=fresh
        )
        return await self._result(turn, request, chain, outcome)

    async def _screen(self, chain: Chain, request: GuardedRequest) -> InputOutcome:
        size = sum(len(message.content) for message in request.messages) + sum(map(len, request.others))
        if size <= INLINE_CHARACTERS:
            return chain.screen(request.messages, others=request.others)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._texts, lambda: chain.screen(request.messages, others=request.others)
        )

    async def _several(self, turn: Turn, request: GuardedRequest, chain: Chain) -> InputResult:
        """Several prompts in one completion: each is checked by itself, one fixed reply is everyone's."""
        if chain.policy.answers is not None:
            raise bad_request(
                "An assistant that answers from documents takes one prompt a request.",
                param="prompt",
                code="one_prompt",
            )
        outcomes = [
            await self._screen(chain, replace(request, messages=(prompt,))) for prompt in request.messages
        ]
        first = next((outcome for outcome in outcomes if outcome.reply is not None), outcomes[0])
        together = replace(
            first,
            messages=tuple(message for outcome in outcomes for message in outcome.messages),
            kept=tuple(range(len(request.messages))),
            verdicts=tuple(verdict for outcome in outcomes for verdict in outcome.verdicts),
            trace=tuple(entry for outcome in outcomes for entry in outcome.trace),
        )
        return await self._result(turn, request, chain, await self._hand_over(turn, together))

    async def _hand_over(self, turn: Turn, outcome: InputOutcome) -> InputOutcome:
        """Queue the ticket, if the outcome asks for one. Raises ApiError when that cannot be promised."""
        if outcome.ticket is None:
            return outcome
        assert turn.assistant is not None
        try:
            await self._tickets.add(outcome.ticket, request_id=turn.request_id, assistant=turn.assistant.name)
            self._on_ticket("queued")
        except StateUnavailable:
            # A warning is worth more than its ticket; a promised person is not.
            if any(verdict.decision is Decision.HANDOFF for verdict in outcome.verdicts):
                raise unavailable(
                    "state_down", "No person can be told of this now. Try again.", retry_after=2
                ) from None
        return outcome

    async def _result(
        self, turn: Turn, request: GuardedRequest, chain: Chain, outcome: InputOutcome
    ) -> InputResult:
        body: Mapping[str, Any] = turn.body
        if outcome.reply is None:
            if outcome.grounded is not None:
                body = request.grounded(outcome.grounded, outcome.others)
            else:
                body = request.with_texts(outcome.messages, outcome.kept, outcome.others)

        if _hidden(outcome) or _size(outcome) <= INLINE_CHARACTERS:
            written = _written(chain, outcome)
        else:
            loop = asyncio.get_running_loop()
            written = await loop.run_in_executor(self._texts, _written, chain, outcome)

        def open_output() -> OutputRail:
            return ChainOutput(chain.open_output(outcome))

        return InputResult(
            body=body,
            verdicts=outcome.verdicts,
            answer=outcome.reply,
            trace=outcome.trace,
            citations=outcome.citations,
            policy=chain.policy.digest[:12],
            ignored=request.ignored,
            text=written,
            write_down=chain.mask if chain.policy.settings.audit.text == "masked" else None,
            open_output=open_output,
        )


def _written(chain: Chain, outcome: InputOutcome) -> str | None:
    """The prompt as the audit log may hold it."""
    match chain.policy.settings.audit.text:
        case "plain":
            return None
        case "off":
            return ""
        case _:
            # Masking a masked text changes nothing, so what the check hid for the engine is not gone through again.
            mask = str if _hidden(outcome) else chain.mask
            masked = [
                {"role": message.role, "content": mask(message.content)} for message in outcome.messages
            ]
            return orjson.dumps(masked).decode()


def _hidden(outcome: InputOutcome) -> bool:
    """Whether private data in the outcome's messages is hidden already."""
    return any(
        entry.check == "privacy" and entry.mode == "enforce" and entry.result != "failed"
        for entry in outcome.trace
    )


def _size(outcome: InputOutcome) -> int:
    return sum(len(message.content) for message in outcome.messages)
