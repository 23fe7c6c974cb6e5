"""Taking a message apart: sentences, requests, small talk, refusals, questions about the agent."""

from __future__ import annotations

import re
from collections.abc import Callable

from letta_kernel.models.demo import words as lore

I = re.IGNORECASE  # noqa: E741

_ABBREVIATION = re.compile(
    r"\b(?:St|Dr|Mr|Mrs|Ms|Prof|No|vs|etc|e\.g|i\.e|approx|Inc|Ltd|Jr|Sr|[A-Z])\.$"
)
_QUESTION = re.compile(
    r"^(?:what|what's|who|who's|whom|whose|where|where's|when|when's|why|how|how's|which|is|are|"
    r"am|was|were|do|does|"
    r"did|can|could|will|would|should|shall|may|have|has|had|isn't|aren't|don't (?:i|you|we)|"
    r"doesn't|didn't)\b",
    I,
)
_TELL_ME = re.compile(
    r"^(?:please )?(?:tell|show|give|explain|describe|define|write|compose|draft|i wonder|"
    r"do you know|"
                      r"can you (?:tell|explain|write|describe))\b", I)  # fmt: skip
_STARTS_REQUEST = re.compile(
    r"(?:what|what's|who|where|when|why|how|which|is it|can you|could you|please|tell|show|give|"
    r"find|look|get|set|add|"
    r"send|mail|email|write|schedule|book|convert|translate|count|compute|calculate|multiply|"
    r"divide|subtract|sum|play|"
    r"start|stop|open|close|turn|switch|lock|unlock|create|make|put|remove|delete|check|search|"
    r"list|plot|draw|run|"
    r"remind|wake|order|buy|remember|note|save|store|keep|rate|share|assign|rename|filter|train|"
    r"roll|flip|reverse|"
    r"say|ask|read|print|summari[sz]e|update|mark|move|copy|sort|archive|forget|call|cancel|tag|"
    r"change|do|use|let)\b",
    I,
)
_JOINT = re.compile(
    r"(?:[,;]\s*(?:and\s+)?(?:then|after that|also)\s+|[,;]?\s+(?:and then|and also|then|"
    r"and)\s+|;\s*|,\s+(?=(?:what|how|who|"
                    r"where|when|which|can you|could you|please)\b))", I)  # fmt: skip

_THANKS = (
    r"(?:(?:many |ok(?:ay)?,? |great,? |perfect,? |cool,? |no,? )?(?:thanks|thank you|thx|"
    r"cheers)(?: (?:a lot|so much|very much|again|you))?)"
)
_SMALL_TALK: list[tuple[str, re.Pattern[str]]] = [
    ("greeting", re.compile(
        r"^(?:(?:hi|hey|hello|hallo|howdy|greetings|good (?:morning|afternoon|evening|day)|hiya|"
        r"yo)(?: (?:there|again|all|everyone|"
        r"agent|demo|my friend))?[\s,!.]*)+(?:how are you(?: (?:doing|today))*|how's it going|"
        r"how do you do|what's up|nice to meet you)?[\s?!.]*$", I)),
    ("greeting", re.compile(
        r"^(?:how are you(?: (?:doing|today))*|how's it going|what's up|"
        r"nice to meet you)[\s?!.]*$", I)),
    ("thanks", re.compile(
        rf"^{_THANKS}\b[\s,!.-]*(?:(?:that|this|it)(?: was| is|'s)|(?:very |so )?(?:helpful|"
        rf"great|nice|good|kind)|for\b|you|i\b)?.*$", I)),
    ("bye", re.compile(
        r"^(?:(?:ok|okay|great|well|alright),? )?(?:bye|goodbye|good night|see you|see ya|"
        r"talk to you later|later|take care|ciao|have a (?:nice|good))\b.*$", I)),
    ("never mind", re.compile(
        r"^(?:oh,? |no,? |ok,? |please )*(?:never ?mind|forget (?:it|about it|that|this)|"
        r"cancel(?: that| it)?|nothing|leave it|stop|scrap that|drop it)[\s.!]*$", I)),
    ("yes", re.compile(
        r"^(?:yes|yeah|yep|yup|sure|of course|please do|go ahead|do it|absolutely|definitely|"
        r"certainly|correct|right|ok|okay|exactly)\b[\s,.!]*(?:please|do|do it|do that|go ahead|"
        r"thanks|remember (?:it|that)|keep it|that's right|i'd like that|you (?:can|may|"
        r"should))*[\s,.!]*(?:please|thanks)?[\s.!]*$", I)),
    ("no", re.compile(
        r"^(?:no|nope|nah|not now|don't|do not|rather not|better not|no need|"
        r"not necessary)\b[\s,.!]*(?:please|thanks|thank you|don't|do not|not now|no need|"
        r"that's (?:fine|ok|okay)|it's (?:fine|ok|okay)|(?:don't |do not )?(?:remember|keep|"
        r"save) (?:it|that))*[\s.!]*$", I)),
    ("cheer", re.compile(
        r"^(?:lol|haha+|ha|wow|cool|great|nice|awesome|perfect|good|fine|super|excellent|i see|"
        r"got it|understood|interesting|hm+|well done|good job|nice one|brilliant|no problem|"
        r"you're welcome|sounds good|alright|all right|makes sense|that's (?:great|nice|good|"
        r"fine|cool|all|it|right|ok|okay|funny))(?: (?:job|work|one|to know|then|so far|thanks|"
        r"thank you))*[\s,.!]*$", I)),
]  # fmt: skip
_REFUSAL = re.compile(
    r"^(?:(?:please|no|but|and|ok|okay|actually|wait|hey|oh|so|also|just)[\s,]+)*(?:do not|"
    r"don't|dont|never|no need (?:to|for)|"
    r"there(?:'s| is) no need (?:to|for)|(?:you|we) (?:do not|don't) (?:need|have) to|"
    r"you (?:needn't|must not|mustn't|should not|shouldn't|"
    r"can't|may not)|(?:please )?(?:stop|avoid|refrain from) \w+ing|not necessary to|it(?:'s|"
    r" is) not necessary to|"
    r"i (?:do not|don't) want you to|i'd rather you (?:did not|didn't))\b(?! (?:forget|you|we|i|"
    r"let me forget|mind|hesitate|worry)\b)",
    I,
)
_PRIVATE = re.compile(
    r"(?:^|[.!?,;:-]\s+|\b(?:but|and|so|please|just|you|really) )"
    r"(?:do not|don't|dont|never|no need to|needn't|need not|should not|shouldn't|must not)\s+"
    r"(?:save|remember|note|keep|store|record|memori[sz]e|write|put)\b"
    r"(?: (?:it|this|that|any of (?:it|this|that)))?(?: down)?"
    r"(?: (?:in|into|to) (?:your |the )?(?:memory|notes|archive))?(?:,? please)?[\s.!]*(?=$|[.!?\n]\s)"
    r"|\boff the record\b|\bkeep (?:it|this|that) (?:secret|private|to yourself|between us)\b",
    I,
)
_ABOUT_SELF: list[tuple[str, re.Pattern[str]]] = [
    ("skills", re.compile(
        r"\b(?:what (?:can|could) you (?:do|help)|what are you (?:able to|capable of|"
        r"good at)(?: (?:do\w*|help\w*))?(?: with)?|what do you do|how (?:can|could) you help|"
        r"(?:what|which) (?:tools|functions|skills|abilities|features) (?:do|can|are)"
        r"(?: you| there)?(?: have| know| use| call| available)*|"
        r"what(?:'s| is| are) your (?:tools?|abilities|skills|capabilities|functions|features)|"
        r"list your (?:tools|functions)|what (?:else )?can i (?:ask|do)|"
        r"can you (?:help me|do anything|remember things|remember stuff|remember anything|"
        r"learn things)|how do you work|help)\W*$|^help\W*$|^(?:can|"
        r"could) you remember (?:things|stuff|anything|something)", I)),
    ("nature", re.compile(
        r"\b(?:are you (?:an? |the |really |actually |some |just )*(?:(?:real|actual|true|"
        r"proper|large|good|smart|kind of) )*(?:ai|a\.i\.|human|person|robot|bot|llm|chatbot|"
        r"language model|model|machine|"
        r"program|computer|gpt\S*|chatgpt|claude|gemini|llama|intelligent|conscious|alive|real|"
        r"smart|demo)\b|(?:what|which) (?:language |ai |kind of )?(?:model|llm|ai)\b.*\b(?:you|"
        r"this|answer\w*|running)\b|"
        r"what (?:are|r) you\W*$|who (?:made|built|created|trained|programmed|wrote) you|"
        r"what (?:kind|sort) of (?:ai|model|thing|bot) are you|are you there)", I)),
    ("who", re.compile(
        r"^(?:(?:and|so|hi|hey|hello|ok|good (?:morning|afternoon|evening))[\s,.!]+)*"
        r"(?:who (?:are|r) you|what(?:'s| is) your name|"
        r"what are you called|what should i call you|"
                       r"tell me about yourself|introduce yourself|(?:what|who) is your persona|"
                       r"do you have a name)\W*$", I)),
]  # fmt: skip
_SEARCH: list[tuple[str, re.Pattern[str]]] = [
    ("archival", re.compile(
        r"\b(?:search|look|check|consult|query|scan|browse|find|go|dig|see|what|is|have|"
        r"anything|something)\b.*?\b(?:your |the |my )*(?:archiv\w+|long[- ]term)(?: (?:memory|"
        r"storage|store))?\b", I)),
    ("conversation", re.compile(
        r"\b(?:search|look|check|consult|scan|browse|find|go|scroll)\b.*?\b(?:conversations?|"
        r"chats?|messages|history|discussions?|talks)\b", I)),
    ("conversation", re.compile(
        r"\b(?:did|have|had) (?:i|we|you)(?: ever| already| just)? (?:say|said|tell|told|talk|"
        r"talked|mention|mentioned|discuss|discussed|speak|spoken|chat|chatted|"
        r"write|written|ask|asked|agree|agreed|decide|decided|suggest)\b|\b(?:were|was) (?:we|"
        r"i) (?:saying|talking|discussing|telling)|"
        r"\b(?:we|i) (?:talked|spoke|discussed|told you|mentioned|said|agreed)\b.*\?|\b(?:our|"
        r"this) (?:last|previous|earlier|past) (?:conversation|chat|talk|discussion|session)", I)),
    ("archival", re.compile(
        r"\b(?:search|look (?:through|in|into)|check|go through|consult) (?:your |the |"
        r"my )?(?:memory|memories|notes|records?|files)\b", I)),
]  # fmt: skip
_TOPIC = re.compile(
    r"\b(?:for|about|on|regarding|concerning|of)\s+(?:(?:anything|something|everything|all|"
    r"notes?|facts?|information|info|"
    r"entries|passages|what we (?:said|know)|whatever)\s+(?:(?:you (?:have|know|stored|saved)|"
    r"we (?:have|know|said)|I (?:said|told you)|there is|that)\s+)?"
    r"(?:about|on|regarding|concerning|for|with|mentioning)?\s*)?(?P<topic>.+?)\W*$",
    I,
)
_WHAT_ABOUT = re.compile(
    r"^(?:(?:and|ok|okay|so|now)[\s,]+)*(?:(?:what|how) about|and(?= (?:in|for|with|from|to|of|"
    r"at|on)\b))\s*(?P<other>[^?]{1,80})\??$",
    I,
)
_WHERE = re.compile(
    r"\b(?:in|into|through|from) (?:your |our |my |the |this |earlier |previous |past |old |"
    r"whole |entire )*(?:archiv\w+(?: (?:memory|storage|store))?|"
    r"long[- ]term (?:memory|storage)|memory|memories|conversations?|messages|history|chats?|"
    r"notes|discussions?)\b",
    I,
)


def is_question(text: str) -> bool:
    """Tell whether *text* asks something."""
    return text.rstrip().endswith("?") or bool(_QUESTION.match(text.strip()))


def wants_telling(text: str) -> bool:
    """Tell whether *text* asks to be told, explained or written something."""
    return bool(_TELL_ME.match(text.strip()))


def small_talk(text: str) -> str | None:
    """Return which kind of small talk *text* is and nothing else (``greeting``, ``thanks``, ``no`` …)."""
    return next((kind for kind, pattern in _SMALL_TALK if pattern.match(text.strip())), None)


def begins_with_yes(text: str) -> bool:
    """Tell whether an answer begins with a plain yes, whatever follows."""
    return bool(
        re.match(r"(?:yes|yeah|yep|sure|of course|please do|please remember)\b", text.strip(), I)
    )


def is_refusal(text: str) -> bool:
    """Tell whether *text* asks not to do something."""
    return bool(_REFUSAL.match(text.strip()))


def is_private(text: str) -> bool:
    """Tell whether something in *text* is not to be written down, wherever it says so."""
    return bool(_PRIVATE.search(text))


def about_self(text: str) -> str | None:
    """Return ``skills``, ``nature`` or ``who`` for a question about the agent itself."""
    return next((kind for kind, pattern in _ABOUT_SELF if pattern.search(text.strip())), None)


def search_request(text: str) -> tuple[str, str] | None:
    """Return where (``archival``, ``conversation``) and for what *text* wants memory searched."""
    where = next((kind for kind, pattern in _SEARCH if pattern.search(text)), None)
    return (where, topic(text)) if where else None


def topic(text: str) -> str:
    """Return what a question or search request is about, as a query."""
    bare = _WHERE.sub(" ", text)
    if match := _TOPIC.search(bare):
        found = re.sub(r"^(?:the|my|our|that|this|an?)\s+", "", match["topic"].strip(), flags=I)
        found = re.sub(
            r"\s+(?:yesterday|today|last \w+|earlier|before|again|the other day|recently)$",
            "",
            found,
            flags=I,
        )
        if lore.content_words(found):
            return found
    skip = {
        "search",
        "look",
        "check",
        "find",
        "archive",
        "archival",
        "memory",
        "conversation",
        "messages",
        "remember",
        "recall",
    }
    kept = [word for word in lore.content_words(bare) if word not in skip]
    return " ".join(kept) or bare.strip(" ?.!")


def what_about(text: str) -> str | None:
    """Return what *and what about …?* or *and in …?* asks after, None for anything else."""
    match = _WHAT_ABOUT.match(text.strip())
    return match["other"].strip(" ?.!") if match else None


def sentences(text: str) -> list[str]:
    """Return the sentences of *text*; abbreviations, figures and quotations are not torn."""
    parts: list[str] = []
    start = 0
    for match in re.finditer(r"(?<=[.!?])[\"')]*\s+|\n+", text):
        piece = text[start : match.start()]
        if text[match.start()] != "\n" and (_ABBREVIATION.search(piece) or piece.count('"') % 2):
            continue
        if piece.strip():
            parts.append(piece.strip())
        start = match.end()
    if text[start:].strip():
        parts.append(text[start:].strip())
    return _rejoined(parts)


def _rejoined(parts: list[str]) -> list[str]:
    """Put greetings and interjections back before the sentence they open, and texts after a colon together."""
    joined: list[str] = []
    for part in parts:
        previous = joined[-1] if joined else ""
        opener = small_talk(previous) in ("greeting", "cheer", "yes") and len(previous.split()) <= 3
        announced = bool(re.search(r"^[^\"']*\b\w+:\s", previous)) and not is_question(part)
        if previous and (opener or (announced and not _STARTS_REQUEST.match(part))):
            joined[-1] = f"{previous} {part}"
        else:
            joined.append(part)
    return joined


def requests(text: str, stands: Callable[[str], bool]) -> list[str]:
    """Return the requests in *text*; one is split at a conjunction only where both halves *stand* alone."""
    parts: list[str] = []
    for sentence in sentences(text):
        parts.extend(_split(sentence, stands))
    return parts


def _split(sentence: str, stands: Callable[[str], bool]) -> list[str]:
    for match in _JOINT.finditer(sentence):
        left, right = sentence[: match.start()].strip(" ,;"), sentence[match.end() :].strip()
        if (
            not left
            or left.count('"') % 2
            or (left.count("'") % 2 and not re.search(r"\w'\w", left))
        ):
            continue
        if _STARTS_REQUEST.match(right) and stands(left) and stands(right):
            return [left, *_split(right, stands)]
    return [sentence]
