"""Who says a line, the user or the assistant, and which of the two a query is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

NOBODY, USER, ASSISTANT = 0, 1, 2

# What transcripts call the two before a colon, in lower case.
_NAMES = {
    USER: """user usuario usuaria utilisateur utilisatrice benutzer benutzerin nutzer nutzerin utente
        utilizador usuário gebruiker användare użytkownik kullanıcı пользователь 用户 用戶 使用者 ユーザー
        사용자 مستخدم المستخدم उपयोगकर्ता""",
    ASSISTANT: """assistant ai bot chatbot chatgpt asistente assistente assistentin assistent asystent asistan
        ассистент бот 助手 机器人 人工智能 アシスタント 어시스턴트 مساعد المساعد सहायक""",
}
# Others stand before colons of other texts too (``Model: Toyota``): they say something only in a text in
# which the partner speaks as well.
_ALSO = {
    USER: """human me myself i customer client humano humana humain moi mensch ich yo eu io umano mens ik
        человек я 人类 我 私 나""",
    ASSISTANT: """agent model letta claude gpt gemini llama mistral copilot you agente modelo modèle modello
        modell ki du tu помощник модель 助理 你""",
}
_MAYBE = 2  # what is added to a role that needs a partner
_ROLE_OF = {
    name: role + more
    for more, all_names in ((0, _NAMES), (_MAYBE, _ALSO))
    for role, names in all_names.items()
    for name in names.split()
}
_OF_MESSAGES = {"user": USER, "assistant": ASSISTANT}

# What a query says that asks for the user's own: I, my, we. Words that others have in capitals, or
# as a name, count in small letters alone.
_MINE = re.compile(
    r"\b(?:i|my|me|mine|we|our|ours|ich|mich|mir|meine?[mnrs]?|wir|unsere?[mnrs]?|j'|moi|nous|notre|nos"
    r"|yo|mis|mí|nosotr[oa]s|nuestr[oa]s?|meus?|minhas?|nós|noss[oa]s?|mio|mia|miei|mie|nostr[oaie]"
    r"|ik|mijn|wij|onze|я|мне|меня|мо[йяёеию]|мо(?:его|ей|их)|мы|нас|наш\w{0,3}"
    r"|(?-i:je|mon|ma|mes|mi|eu|io|noi|mij|ons|uns|us|jag|min|mitt|mina|mój|moja|moje))\b"
    r"|我|私|僕|俺|나는|내가|제가|저는|나의",
    re.IGNORECASE,
)

_SAID = """said say|suggested suggest|recommended recommend|told tell|advised advise|proposed propose
    |mentioned mention|explained explain|described describe|gave give|given give|listed list
    |offered offer|wrote write|written write|provided provide|outlined outline|answered answer
    |replied reply|responded respond|showed show|shown show|warned warn|promised promise|taught teach
    |pointed point|named name|shared share|called call|came come|thought think|drafted draft"""
_PAST, _PLAIN = (
    "|".join(forms) for forms in zip(*(p.split() for p in _SAID.split("|")), strict=True)
)
_BY_ASSISTANT = "(?:assistant|ai|bot|chatbot)"
# What stands between "you" and its verb: another verb would have another subject.
_ADVERB = (
    "(?:(?:ever|just|already|also|even|once|never|not|previously|actually|really|originally|initially|first|last"
    "|earlier|recently|specifically|then|again|have|had|both|all|kindly|usually|always) )"
)
_TOLD = "told|advised|recommended|suggested|given|offered|shown|promised|warned"
_ADVICE = (
    "advice|suggest|recommend|answer|repl(?:y|ies)|response|explanation|proposal|tips?|warning"
)
# What a query says that asks for what the assistant said. "Can you tell me" asks for nothing said.
_YOURS = re.compile(
    # English
    rf"\b(?:you|{_BY_ASSISTANT})(?:'d|'ve)? {_ADVERB}{{0,3}}(?:{_PAST})\b"
    rf"|\b(?:did|have|had|didn't|haven't) (?:you|the {_BY_ASSISTANT}) {_ADVERB}{{0,3}}(?:{_PAST}|{_PLAIN})\b"
    rf"|\b(?:your|{_BY_ASSISTANT}'s) (?:\w+ ){{0,2}}?(?:{_ADVICE})"
    rf"|\b(?:by you|from you|(?:was|were) (?:i|we) {_ADVERB}{{0,2}}(?:{_TOLD})\b(?!.*\b(?:by|from) (?!you)))\b"
    # German
    r"|\b(?:(?:hast|hattest) du|haben sie|hat der assistent)\b[^,;:]{0,80}?"
    r"\b(?P<de>(?:vor|auf|an|ge|be|er|emp)*"
    r"(?:sagt|schlagen|fohlen|raten|wähnt|klärt|nannt|geben|schrieben|boten|meint|listet|antwortet|zeigt))\b"
    r"|\bdu\b[^,;:]{0,80}?(?:sagt|schlagen|fohlen|raten|wähnt|klärt|nannt|geben|schrieben|boten) "
    r"(?:hast|hattest)\b"
    r"|\b(?:sagtest|empfahlst|rietest|schlugst|meintest|nanntest|erwähntest|erklärtest)\b"
    r"|\b(?:deine?[mnrs]?|ihre?[mnrs]?) (?:\w+ )?(?:rat|vorschl[aä]g|empfehlung|tipp|antwort|ratschl)"
    # French
    r"|\b(?:as|avez|aviez|tu (?:m')?avais)\b(?:(?!\b(?:que|qu|qui|où|quand|ce|dont)\b)[^,;:]){0,30}?"
    r"\b(?:dit|suggéré|recommandé|conseillé|proposé|mentionné"
    r"|expliqué|donné|répondu|écrit|indiqué|parlé|décrit|cité)"
    r"|\b(?:ton|ta|tes|votre|vos) (?:\w+ )?(?:conseil|suggestion|recommandation|réponse|proposition)"
    # Spanish and Portuguese
    r"|\b(?:dij|suger|recomend|aconsej|aconselh|propus|mencion|explic|d|respond|escrib|escrev|cont|habl"
    r"|ofrec|indic|describ|coment|mostr|diss)(?:aste|iste|este)s?\b"
    r"|\b(?:has|habías|ha usted|usted ha)\b(?:(?!\b(?:que|lo|quien|donde|cuando)\b)[^,;:]){0,20}?"
    r"\b(?:dicho|sugerido|recomendado|aconsejado|propuesto"
    r"|mencionado|explicado|dado|respondido|escrito|ofrecido|indicado)\b"
    r"|\b(?:usted|você|vocês) (?:(?:me|nos|já|ya|não|no|le|lhe|também|también|antes) ){0,2}"
    r"(?:dijo|sugirió|recomendó|aconsejó|propuso|mencionó|explicó|dio"
    r"|disse|falou|sugeriu|recomendou|aconselhou|propôs|mencionou|explicou|deu|respondeu|escreveu|indicou)\b"
    r"|\b(?:recomendó|sugirió|aconsejó|dijo|propuso) usted\b"
    r"|\b(?:tus?|sus?|suas?|seus?|tuas?|teus?) (?:\w+ )?(?:consejo|sugerencia|recomenda|respuesta|propuesta"
    r"|sugest|conselho|resposta|proposta)"
    # Italian and Dutch
    r"|\b(?:hai|avevi|avete)\b(?:(?!\b(?:che|chi|dove|quando|quello)\b)[^,;:]){0,30}?"
    r"\b(?:detto|suggerito|raccomandato|consigliato|proposto|menzionato"
    r"|spiegato|dato|risposto|scritto|indicato|elencato)\b"
    r"|\b(?:tu[oaei]|tuoi) (?:\w+ )?(?:consigli|suggeriment|raccomandazion|rispost|propost)"
    r"|\b(?:heb|had|hebt|heeft) (?:je|jij|u|jullie)\b(?:(?!\b(?:die|dat|wat|wie|waar)\b)[^,;:]){0,60}?"
    r"\b(?:gezegd|voorgesteld|aanbevolen|aangeraden"
    r"|geadviseerd|genoemd|uitgelegd|gegeven|verteld|geschreven|geantwoord)\b"
    r"|\b(?:jouw|je|uw) (?:\w+ )?(?:advies|voorstel|aanbeveling|antwoord|suggestie)"
    # Russian, Polish, Turkish
    r"|\b(?:ты|вы)\b[^,;:]{0,40}?\b(?:сказал|говорил|предл[оа]|(?:по)?рекомендова|(?:по)?советова|упом[яи]н"
    r"|объясн|дал|ответил|написал|назвал)"
    r"|\b(?:тво|ваш)\w{0,3} (?:\w+ )?(?:совет|предложени|рекомендаци|ответ)"
    r"|\b(?:powiedzia|sugerowa|zasugerowa|poleci|doradzi|radzi|zaproponowa|wspomnia|napisa)ł[ea]ś\b"
    r"|\b(?:söyledin|önerdin|dedin|tavsiye ettin|bahsettin|anlattın|önermiştin|söylemiştin)"
    # Chinese, Japanese, Korean
    r"|(?<![跟和对對向给給诉訴请請让讓])[你您](?!能|可以|可不可以|会|會|知道|还?记得|還?記得|认识|認識|看到|听说|聽說)(?:[^我，。？?,]|[给給向跟对對为為]我){0,6}?"
    r"(?:说|說|建议|建議|推荐|推薦|提到|提议|提議|提过|提過|告诉|告訴|讲|講|解释|解釋|回答|介绍|介紹|写|列)"
    r"|助手(?:之前)?(?:说|建议|推荐)"
    r"|(?:あなた|君|きみ|アシスタント|そちら)[がはの][^がは、]{0,16}?(?:言|勧め|薦め|すすめ|提案|推薦|アドバイス|説明|教え|答え)"
    r"|(?:言って|勧めて|薦めて|すすめて|提案して|推薦して|説明して|教えて|アドバイスして)(?:くれた|くれまし|いただい|もらっ)"
    r"|(?:네가|니가|당신이|너는|넌|당신은)(?:(?![가이] ).){0,16}?(?:말|추천|제안|권|조언|설명|알려|언급|대답)"
    r"|(?:추천해|말해|알려|제안해|설명해|조언해) ?(?:준|줬|주셨|주었)",
    re.IGNORECASE,
)


def asked_for(query: str) -> int:
    """Return whose lines *query* asks for: the assistant's, the user's, or anybody's."""
    query = query.replace("\u2019", "'")
    if _YOURS.search(query):
        return ASSISTANT
    return USER if _MINE.search(query) else NOBODY


def of(speaker: str, tags: Sequence[str], messages: bool) -> int:
    """Return the role of a line of this *speaker*, or of one of *messages*, whose only tag is its role.

    It may be one that only `with_partners` decides.
    """
    if messages:
        return _OF_MESSAGES.get(tags[0], NOBODY) if tags else NOBODY
    return _ROLE_OF.get(speaker, NOBODY)


def with_partners(found: np.ndarray, named: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return the roles `of` lines and those that follow: who talks to an assistant is the user.

    Parameters
    ----------
    named
        Whether somebody is named who says the line.
    sources
        Numbers of what the lines are from, 0 for nothing: of such a line nothing follows.
    """
    roles = np.where(found > _MAYBE, NOBODY, found)
    for role, other in ((ASSISTANT, USER), (USER, ASSISTANT)):
        they = (found == other) | (found == other + _MAYBE)
        partners = np.bincount(sources, weights=they, minlength=1) > 0
        partners[0] = False
        roles[(found == role + _MAYBE) & partners[sources]] = role
    found = roles.copy()
    for role, other in ((ASSISTANT, USER), (USER, ASSISTANT)):
        talks = np.bincount(sources, weights=found == role, minlength=1) > 0
        talks[0] = False
        roles[(roles == NOBODY) & named & talks[sources]] = other
    return roles
