"""The privacy check: finds private data in whole texts and streams, and hides it as the policy says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from guardrails.privacy.email_address import EmailAddresses
from guardrails.privacy.find import Recogniser
from guardrails.privacy.mask import shown_before
from guardrails.privacy.numbers import Numbers
from guardrails.privacy.passport import Passports
from guardrails.privacy.postal_address import PostalAddresses
from guardrails.privacy.rules import KINDS, KindMode, PrivacyFile, read_rules
from guardrails.privacy.secrets import Secrets
from guardrails.privacy.stream import CHECK, MaskingStream, Rules
from guardrails.verdict import Decision, Verdict

_NUMBERS = frozenset({"id", "card", "mobile", "landline", "account", "code"})
_TEXTS = frozenset({".md", ".txt", ".csv", ".jsonl", ".html", ".htm"})


class PrivacyCheck:
    """Unchangeable; every text has a stream of its own."""

    def __init__(self, file: PrivacyFile, own: Iterable[str] = ()) -> None:
        """`own`: texts of the organisation; what is found in them may be said by all."""
        recognisers = _recognisers(file)
        allowed = {value for text in file.allow for value in _values(_recognisers(PrivacyFile()), text)}
        allowed |= {"".join(filter(str.isdigit, text)) for text in file.allow} - {""}
        for text in own:
            allowed.update(_values(recognisers, text))
        self._rules = Rules(file, recognisers, frozenset(allowed))

    def check(self, text: str) -> Verdict:
        """What is private in `text`."""
        return self.mask(text)[1]

    def mask(self, text: str) -> tuple[str, Verdict]:
        """The text with every find hidden, and the finds."""
        stream = MaskingStream(self._rules)
        masked = stream.whole(text)
        verdicts = stream.verdicts()
        return masked, verdicts[0] if verdicts else Verdict(CHECK, Decision.ALLOW)

    def open(self) -> MaskingStream:
        """A stream of its own for one answer."""
        return MaskingStream(self._rules)


def load_privacy(folder: Path, phones: Iterable[str] = ()) -> PrivacyCheck:
    """The check of a policy folder. `phones`: numbers of the organisation. Raises PolicyProblem."""
    file = read_rules(folder / "privacy.yaml")
    file = file.model_copy(update={"allow": (*file.allow, *(phone for phone in phones if phone))})
    documents = sorted((folder / "knowledge").rglob("*")) if file.allow_documents else []
    own = (
        path.read_text(encoding="utf-8", errors="replace")
        for path in documents
        if path.suffix.lower() in _TEXTS
    )
    return PrivacyCheck(file, own)


def _recognisers(file: PrivacyFile) -> tuple[Recogniser, ...]:
    masked = frozenset(kind for kind in KINDS if file.kinds.of(kind).mode is KindMode.MASK)
    found: list[Recogniser] = []
    if "secret" in masked:
        found.append(Secrets())
    if masked & _NUMBERS:
        found.append(Numbers(masked & _NUMBERS))
    if "passport" in masked:
        found.append(Passports())
    if "email" in masked:
        found.append(EmailAddresses(shown_before(file.kinds.of("email"))))
    if "address" in masked:
        found.append(PostalAddresses())
    return tuple(found)


def _values(recognisers: tuple[Recogniser, ...], text: str) -> set[str]:
    """What is found in a text, as masks compare it."""
    found: set[str] = set()
    stream = MaskingStream(Rules(PrivacyFile(), recognisers, frozenset()), lambda find: found.add(find.name))
    stream.feed(text)
    stream.finish()
    return found
