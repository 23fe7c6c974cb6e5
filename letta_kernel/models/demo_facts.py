"""Facts in a message: what a person asks to be remembered, says of themselves, corrects or takes back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from letta_kernel.models import demo_words as lore
from letta_kernel.models.demo_grammar import about_user, sentence, to_user

I = re.IGNORECASE  # noqa: E741


@dataclass(frozen=True, slots=True)
class Fact:
    """Something worth keeping: as the note to write, as said back to the user, and what it is about.

    ``slot`` is what a newer fact of the same kind replaces: ``name``, ``home``, ``job`` or the words of an
    attribute (``favourite editor``); None where facts only add up.
    """

    note: str
    said: str
    slot: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """How a sentence bears on memory: ``keep`` (asked to, or certain), ``ask`` first, or leave alone."""

    facts: tuple[Fact, ...]
    asked: bool = False  # the person asked for it to be remembered
    certain: bool = False
    archive: bool = False  # the person asked for the archive
    label: str | None = None  # the block that was named


_OPENERS = re.compile(
    r"^(?:(?:hi|hey|hello|hallo|good (?:morning|evening|afternoon)|ok|okay|oh|ah|well|so|now|and|also|but|"
    r"please|actually|no wait|wait|no|yes|yeah|right|sorry|btw|by the way|you know|you see|listen|look|"
    r"in fact|i mean|also|anyway|correction|update)\b(?: there| everyone)?[\s,.!:;-]*)+",
    I,
)
_CLOSERS = re.compile(
    r"(?:[\s,;-]+(?:by the way|btw|please|thanks|thank you(?: very much)?|ok\??|okay\??|you know|now|nowadays|"
    r"these days|(?:so )?(?:please )?(?:remember|note|keep|store|save) (?:that|this|it)(?: please)?|"
    r"(?:it(?:'s| is) )?(?:nice|good|great|pleased|lovely) to meet you|from now on|if that matters|"
    r"as you (?:may |might )?know|just so you know|fyi|for (?:future|your) reference|right))+[\s.!]*$",
    I,
)
_POLITE = (
    r"(?:(?:please|kindly|also|just|now|i(?:'d| would) (?:like|love) you to|i want you to|i need you to|"
    r"(?:can|could|would|will) you(?: please)?|you (?:can|could|may|should|might want to|ought to)|"
    r"it would be (?:great|nice|good) if you (?:could|would)|make sure (?:to|you)|try to|be sure to|"
    r"don't forget to|let's)\s+)*"
)
_STRONG = re.compile(
    rf"^{_POLITE}(?:"
    r"(?:always )?remember|keep in mind|bear in mind|(?:do not|don't|never) forget|memori[sz]e|"
    r"keep (?:a )?(?:note|track) (?:of (?:the fact )?)?|make a (?:mental )?note(?: (?:for|to) yourself)?(?: of)?|"
    r"take (?:a )?note(?: of)?|(?:for the record|for (?:future|your) reference|for your information|fyi|"
    r"just so (?:that )?you know|so you know)|"
    r"(?:save|store|put|write|add|note|keep|record) (?:this |it |that |the following )?"
    r"(?:down )?(?:in|into|to) (?:your |core |the )*memory|(?:learn|know)(?= that)"
    r")\b(?P<rest>.*)$",
    I | re.DOTALL,
)
_WEAK = re.compile(
    rf"^{_POLITE}(?:note down|note|jot down|write down|(?:save|store|record|keep)(?: down)?)\b(?P<rest>.*)$",
    I | re.DOTALL,
)
_ARCHIVE = re.compile(
    rf"^{_POLITE}(?:"
    r"(?:archive|file away)\b"
    r"|(?:put|save|store|add|insert|write|keep|record|note|file|remember|place|log)\b(?P<before>.*?)\b"
    r"(?:in|into|to|for)\s+(?:your |my |the |our )*"
    r"(?:archiv\w+|long[- ]term)(?: (?:memory|storage|store|archive))?"
    r")(?P<rest>.*)$",
    I | re.DOTALL,
)
_IN_BLOCK = re.compile(
    r"(?:in|into|to) (?:your |my |the )*[\"'`]?(?P<label>[\w-]+)[\"'`]? (?:memory )?block\b", I
)
_LEADING = re.compile(
    r"^(?:[\s:,.;-]+|(?:that|the fact that|this|the following|about(?= (?:me|my))|of me|for me|for yourself|"
    r"for later|down|somewhere|it)\b[\s:,]*)+",
    I,
)
_NAME_OF_ME = re.compile(
    r"^(?:my (?:full |first |real |nick)?name(?:'s| is)(?: now| actually| really)?|"
    r"i(?:'m| am) (?:now |actually )?(?:called|named)|i go by|the name(?:'s| is)|"
    r"(?:it's|it is|this is)(?= (?-i:[A-Z])[\w'. -]* (?:here|speaking)$)|you(?:'re| are) (?:talking|speaking) (?:to|with)|"
    r"(?:everybody|everyone|people|friends|you)?(?: can| may| should| could)?\s*(?:just )?call(?:s)? me)\s+",
    I,
)
_HOME = re.compile(
    r"^(?:i|we)(?:'m|'ve| am| have|'re| are)?(?: now| just| currently| recently)*\s+(?:live|living|moved|reside|"
    r"based|relocated|settled)\b(?=.*\b(?:in|to|at|near|on|from)\b)",
    I,
)
_JOB = re.compile(
    r"^i(?:'m| am)?(?: now| just| currently)*\s+(?:work(?:ing)? (?:as|for|at|in)\b|employed\b|a freelance)|^my (?:job|profession|occupation)\b",
    I,
)
_ATTRIBUTE = re.compile(
    r"^(?:my|our) (?P<what>[\w' -]{2,50}?)(?:'s| is| are| was| were) (?:now )?(?P<value>.+)$", I
)
_TRANSIENT_NOUNS = frozenset(
    """question questions point problem guess idea bad fault pleasure turn request mistake answer order reply
    message apologies computer screen code kernel notebook plan hope thought understanding impression issue
    concern feeling suggestion""".split()
)
_SINGLE = frozenset(
    """favourite favorite preferred email address number phone birthday age anniversary height weight size password
    budget deadline salary username handle nickname surname timezone employer boss manager title
    profession occupation job hometown""".split()
)
_VERBS = (
    "live|lived|work|worked|like|love|hate|dislike|prefer|enjoy|adore|own|teach|taught|study|studied|speak|play|"
    "drive|ride|run|come from|came from|was born|were born|grew up|grow|eat|drink|use|collect|moved|turned|"
    "graduated|retired|keep|practi[sc]e|train|cook|sing|paint|write|read|code|program|manage|lead|volunteer|"
    "suffer from|follow|support|belong|have|'ve got|have got|can't stand|can't eat|can't drink|"
    "do not|don't|never|always|only|usually|mostly|mainly|also|really|just moved|just turned|just started|"
    "go to bed|get up|wake up|wear|bake|knit|garden|swim|cycle|hike|climb|dance|breed|trade|design|"
    "build|research|specialise|specialize|major"
)
_CERTAIN = re.compile(
    rf"^(?:i|we)(?: (?:also|really|mostly|usually|currently|now|absolutely|both))? ?(?:{_VERBS})\b",
    I,
)
_FLEETING = re.compile(
    r"^(?:i|we) (?:(?:really|also|just) )?(?:(?:like|love|hate|prefer|enjoy|use|have|don't|do not|never|always|only|play|"
    r"read|write|run|keep|also|really)\s+)+(?:it|that|this|these|those|them|him|her|you|your|a (?:question|"
    r"problem|request|feeling|headache|minute|idea|look|favou?r|cold|doubt)|an? (?:quick |small |other )?"
    r"(?:question|idea|issue|request)|questions|no idea|to\b|know|understand|think|mean|see|get it|care|mind|"
    r"remember|recall|want|need|believe|agree|feel|feeling|trust|doubt|had|got|have to|said|the (?:feeling|answer|impression))\b",
    I,
)
_SELF = re.compile(
    r"^(?:i'm|i am|we're|we are)(?: now| also| actually| originally| really)? (?P<what>.+)$", I
)
_LASTING = re.compile(
    r"^(?:an? (?!bit\b|little\b|lot\b|fan of (?:it|that|this)\b)|the (?!one\b|same\b)|from |allergic|vegan|vegetarian|"
    r"married|single|divorced|engaged to|retired|left-handed|right-handed|colou?r-?blind|blind|deaf|dyslexic|"
    r"diabetic|pregnant|\d{1,3}(?: years old)?\b|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty)|born|based in|"
    r"lactose|intolerant|working (?:as|for|at)|living in|studying|learning|interested in|fond of|into |"
    r"afraid of|good at|bad at|responsible for|in charge of|one of|originally|native|employed)",
    I,
)
_DEMONYMS = frozenset(
    """american argentinian australian austrian belgian brazilian british bulgarian canadian chilean chinese
    colombian croatian cuban czech danish dutch egyptian english estonian ethiopian finnish french german
    greek hungarian icelandic indian indonesian iranian iraqi irish israeli italian jamaican japanese
    kenyan korean latvian lebanese lithuanian malaysian mexican moroccan nepali nigerian norwegian
    pakistani peruvian polish portuguese romanian russian scottish serbian slovak slovenian spanish swedish
    swiss syrian thai tunisian turkish ukrainian vietnamese welsh african asian european catholic jewish
    muslim hindu buddhist christian""".split()
)
_PENDING = re.compile(
    r"^(?:lately |recently |these days |sometimes )?(?:i|we)(?:'m|'ve| am| have|'re| are|'d)?(?: also| just| really| been)* "
    r"(?:(?:been )?(?:thinking|considering|wondering (?:whether|if)|planning|dreaming|toying|looking for)|might|may|plan to|"
    r"want to|hope to|would (?:love|like) to|'d love to|dream of|intend to|decided|started|learning|trying to (?:learn|stop|quit)|"
    r"going to (?:move|start|marry|become|be)|need to (?:lose|stop|quit)|will be|have an? (?:exam|appointment|interview|deadline))\b",
    I,
)
_INSTRUCTION = re.compile(
    r"^(?:please )?(?:(?P<when>from now on|in (?:the )?future|always|whenever [^,]+|every time [^,]+),?\s*)?"
    r"(?:please |you (?:should|must|have to|can) |i(?:'d| would) like you to |i want you to )*(?:always |only |never )?"
    r"(?P<verb>answer|reply|respond|speak|talk|write to|address|be|use|act|behave|sign|greet|keep your|end|stop|"
    r"avoid|sound)\b(?P<rest>.*)$",
    I,
)
_FORGET = re.compile(
    rf"^{_POLITE}(?:forget|delete|remove|erase|unlearn|drop)\b(?P<what>.*?)(?:\s*(?:from|in) (?:your |the )?(?:core )?memory)?[.!]*$",
    I,
)
_CHANGE = re.compile(
    rf"^{_POLITE}(?:change|update|correct|set|switch|replace|edit)\s+(?:my|our|the user's)\s+(?P<what>.+?)"
    r"(?:\s+from\s+.+?)?\s+(?:to|into|with|:)\s+(?P<value>.+?)[.!]*$",
    I,
)


def strip_openers(text: str) -> str:
    """Return *text* without greetings, interjections and politeness at its ends."""
    return _CLOSERS.sub("", _OPENERS.sub("", text.strip())).strip()


def asked_to_keep(text: str) -> tuple[str, Statement] | None:
    """Return the strength (``strong``, ``weak``) and content of a request to remember, if it is one."""
    if re.match(r"(?:[\w,!]+ ){0,2}(?:can|could|would|will) you\b", text, I):
        # "could you remember that …?" is a request, "can you remember my name?" a question
        if not re.search(r"\bthat\b|:|\b(?:is|are|was|were|am|has|have|will|i'm|my \w+'s|i \w+)\b|\w's\b", text.split("you", 1)[1], I):
            return None
        text = text.rstrip("? ")
    bare = strip_openers(text)
    asked_after = re.search(
        r"(?:[\s,;.-]+(?:so |and )?(?:please )?(?:remember|note|keep|store|save|memori[sz]e|don't forget) (?:that|this|it)\b|"
        r"[\s]*[,;.-]\s*(?:so |and )?(?:please )?(?:remember|don't forget|keep that in mind|bear that in mind))(?: please)?\W*$",
        text,
        I,
    )
    block = _IN_BLOCK.search(bare)
    label = block["label"] if block else None
    if block:
        bare = (bare[: block.start()] + bare[block.end() :]).strip()
    if match := _ARCHIVE.match(bare):
        payload = " ".join(
            filter(None, [match.groupdict().get("before") or "", match["rest"] or ""])
        )
        if facts := _facts(_payload(payload), split=False):
            return "strong", Statement(facts, True, True, True, label)
    if match := _STRONG.match(bare):
        if facts := _facts(_payload(match["rest"])):
            return "strong", Statement(facts, True, True, False, label)
    if (match := _WEAK.match(bare)) and (facts := _facts(_payload(match["rest"]))):
        return "weak", Statement(facts, True, True, False, label)
    if label and (
        match := re.match(
            rf"^{_POLITE}(?:add|put|append|insert|write)\b(?P<rest>.*)$", bare, I | re.DOTALL
        )
    ):
        if facts := _facts(_payload(match["rest"])):
            return "strong", Statement(facts, True, True, False, label)
    if asked_after and asked_after.start() > 0 and (facts := _facts(text[: asked_after.start()])):
        return "strong", Statement(facts, True, True)
    return None


def _payload(rest: str) -> str:
    return strip_openers(_LEADING.sub("", rest.strip()).strip())


def volunteered(text: str) -> Statement | None:
    """Return what *text* says about the user unasked, and whether that is sure enough to keep."""
    bare = strip_openers(text)
    if not bare or bare.endswith("?"):
        return None
    bare = re.sub(r"\s*,\s*not [^,]+$", "", bare.rstrip(".! "))  # "I'm called Jon, not John"
    clauses = _clauses(bare)
    certain = [clause for clause in clauses if is_certain(clause)]
    if certain:
        # A clause beside a certain one is part of the same telling, unless it is a mere opening.
        told = [c for c in clauses if (c in certain or not _passing(c)) and not _over(c)] or certain
        facts = tuple(fact for clause in told for fact in _facts(clause, split=False))
        return Statement(_latest(facts), certain=True)
    if _PENDING.match(bare):
        return Statement(_facts(bare, split=False))
    if (match := _SELF.match(bare)) and _could_be_lasting(match["what"]):
        return Statement(_facts(bare, split=False))
    return None


def instruction(text: str) -> Fact | None:
    """Return a wish about the agent's manner (``from now on answer in rhyme``) as a note for its persona."""
    bare = strip_openers(text).rstrip(".! ")
    match = _INSTRUCTION.match(bare)
    if match is None or bare.endswith("?"):
        return None
    lasting = match["when"] or re.search(r"\b(?:always|never|from now on|in future)\b", text, I)
    manner = re.search(
        r"\b(?:more|less|shorter|briefly|brief|short|long|formal|informal|polite|kind|funny|concise|language|"
        r"emojis?|english|sentences|tone|style|words)\b",
        match["rest"],
        I,
    )
    if not (lasting or (match["verb"].casefold() == "be" and manner)):
        return None
    wish = re.sub(r"^(?:from now on|in (?:the )?future),?\s*", "", bare, flags=I)
    wish = re.sub(
        r"^(?:please |you (?:should|must|have to|can) |i(?:'d| would) like you to |i want you to )+",
        "",
        wish,
        flags=I,
    )
    # "me" stays understandable in a note about how to speak to the user
    note = re.sub(r"\bme\b", "the user", re.sub(r"\bmy\b", "the user's", wish, flags=I), flags=I)
    return Fact(f"From now on: {note}.", f"from now on I should {to_user(wish)}")


def taken_back(text: str) -> str | None:
    """Return what is to be forgotten (``my phone number``), or None; ``forget it`` is none."""
    bare = strip_openers(text)
    match = _FORGET.match(bare)
    if match is None:
        return None
    what = match["what"].strip()
    if not re.match(
        r"(?:about |that |what |where |who |how )?(?:my|i|i'm|our|we|me|everything|all)\b", what, I
    ):
        return None
    return what


def changed(text: str) -> tuple[str, str] | None:
    """Return attribute and new value of *change my favourite editor to emacs*."""
    match = _CHANGE.match(strip_openers(text))
    return (match["what"].strip(), match["value"].strip()) if match else None


def is_certain(clause: str) -> bool:
    """Tell whether a clause plainly states something lasting about the user."""
    clause = clause.strip()
    if _FLEETING.match(clause) or _PENDING.match(clause):
        return False
    if (
        _NAME_OF_ME.match(clause)
        or _HOME.match(clause)
        or _JOB.match(clause)
        or _CERTAIN.match(clause)
    ):
        return len(clause.split()) > 2
    if match := _ATTRIBUTE.match(clause):
        head = lore.words(match["what"])
        return bool(head) and head[-1] not in _TRANSIENT_NOUNS and head[0] not in _TRANSIENT_NOUNS
    if re.match(r"^my (?:wife|husband|son|daughter|sister|brother|mother|father|mum|mom|dad|partner|boss|friend|"
                r"girlfriend|boyfriend|cat|dog|kids|children|parents|colleague|aunt|uncle|grand\w+)\b", clause, I):  # fmt: skip
        return len(clause.split()) > 3
    if match := re.match(r"[\w ]{2,40} (?:is|are) (?:not )?(?:my|our) (?P<what>[\w' -]+)$", clause, I):
        return lore.words(match["what"])[-1] not in _TRANSIENT_NOUNS
    if match := _SELF.match(clause):
        what = match["what"]
        return (
            bool(_LASTING.match(what)) or what.split()[0].casefold() in _DEMONYMS or _is_name(what)
        )
    return False


def _is_name(text: str) -> bool:
    first = text.split()[0].strip(",.!")
    return bool(re.fullmatch(r"[A-ZÀ-ÖØ-Þ][\w'’-]+", first)) and first.casefold() not in lore.STOP


_PASSING_STATES = frozenset(
    """fine good well ok okay great happy glad sad sorry sure afraid ready done back here there late early busy tired
    hungry thirsty sleepy bored excited confused lost stuck curious free available off away going coming trying
    looking wondering thinking asking talking just not so very too really still only about getting feeling having
    doing making using running waiting joking kidding serious right wrong aware grateful thankful home out in on at
    pleased delighted impressed surprised annoyed angry frustrated cold warm hot ill sick better worse alone almost
    finished leaving done kidding unsure certain quite pretty a""".split()
)


def _could_be_lasting(what: str) -> bool:
    first = what.split()[0].casefold().strip(",.!")
    return first not in _PASSING_STATES and not first.endswith("ing") and len(what.split()) <= 8


def _passing(clause: str) -> bool:
    return bool(
        re.match(
            r"(?:(?:i|we)(?:'ve| have) (?:just |recently )?moved|things (?:have )?changed)$",
            clause,
            I,
        )
    )


def _over(clause: str) -> bool:
    return bool(re.search(r"\b(?:any ?more|no longer)\b", clause, I))


def _clauses(text: str) -> list[str]:
    parts = re.split(
        r"(?:,|;|\.|!| -)?\s+(?:and|but|so)\s+(?=(?:i|i'm|i've|my|we|our)\b)|[,;.!]\s+(?=(?:i|i'm|i've|my|we)\b)",
        text,
        flags=I,
    )
    return [part.strip(" ,;.!") for part in parts if part and part.strip(" ,;.!")]


def _facts(text: str, split: bool = True) -> tuple[Fact, ...]:
    text = text.strip(" ,;:")
    if not text or text.endswith("?") or not re.search(r"\w", text):
        return ()
    if text.casefold().rstrip(".! ") in (
        "it",
        "that",
        "this",
        "that too",
        "things",
        "everything",
        "me",
        "to",
        "you",
        "anything",
        "something",
        "stuff",
    ):
        return ()
    clauses = (
        _clauses(text) if split and re.match(r"(?:i|i'm|i've|my|we|our)\b", text, I) else [text]
    )
    return _latest(tuple(_fact(clause) for clause in clauses))


def _fact(clause: str) -> Fact:
    clause = clause.strip().rstrip(". ")
    clause = re.sub(
        r"^((?:my|our|the) [\w' ]+), (?:it's|it is|which is)\b", r"\1 is", clause, flags=I
    )
    slot = _slot(clause)
    clause = re.sub(r"\s+(?:now|nowadays|instead)$", "", clause, flags=I)
    clause = re.sub(r"^((?:i|we)(?:'m| am| are|'re)?) now\b", r"\1", clause, flags=I)
    clause = re.sub(r"^(my [\w ]+? (?:is|are)) now\b", r"\1", clause, flags=I)
    if slot == ("name",):
        clause = re.sub(r"\s+(?:here|speaking)$", "", clause)
        if match := _NAME_OF_ME.match(clause):
            name = clause[match.end() :]
            if re.match(r"i go by", clause, I):
                return Fact(f"The user goes by {name}.", f"you go by {name}", slot)
            if re.search(r"call", match.group(), I) and not re.match(r"i", clause, I):
                return Fact(
                    f"The user wants to be called {name}.", f"you want to be called {name}", slot
                )
            return Fact(f"The user's name is {name}.", f"your name is {name}", slot)
        if match := _SELF.match(clause):
            name = match["what"]
            if len(name.split()) <= 3 and "," not in name:
                return Fact(f"The user's name is {name}.", f"your name is {name}", slot)
    return Fact(sentence(about_user(clause)), to_user(clause), slot)


def _slot(clause: str) -> tuple[str, ...] | None:
    if _NAME_OF_ME.match(clause):
        return ("name",)
    if (
        (match := _SELF.match(clause))
        and _is_name(match["what"])
        and match["what"].split()[0].casefold().strip(",") not in _DEMONYMS
    ):
        return ("name",)
    if _HOME.match(clause):
        return ("home",)
    if _JOB.match(clause):
        return ("job",)
    if match := _ATTRIBUTE.match(clause):
        what = tuple(lore.content_words(match["what"])) or tuple(lore.words(match["what"]))
        # A dog may be brown and be called Rex: only what has one value at a time is ever replaced.
        single = what and (
            what[0] in _SINGLE or what[-1] in _SINGLE or re.search(r"\bnow\b", clause, I)
        )
        return what[:4] if single else None
    return None


def _latest(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Of several facts about one thing keep the last (``I don't live in Paris, I live in Nantes``)."""
    kept: list[Fact] = []
    for fact in facts:
        if fact.slot is not None:
            kept = [other for other in kept if other.slot != fact.slot]
        kept.append(fact)
    return tuple(kept)
