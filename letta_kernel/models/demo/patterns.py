"""How people say that something is so, should be kept, changed or forgotten: the patterns of it."""

from __future__ import annotations

import re

from letta_kernel.models.demo.words import word_set

I = re.IGNORECASE  # noqa: E741

OPENERS = re.compile(
    r"^(?:(?:hi|hey|hello|hallo|good (?:morning|evening|afternoon)|ok|okay|oh|ah|well|so|now|"
    r"and|also|but|"
    r"please|actually|no wait|wait|no|yes|yeah|right|sorry|btw|by the way|you know|you see|"
    r"listen|look|"
    r"in fact|i mean|also|anyway|correction|update)\b(?: there| everyone)?[\s,.!:;-]*)+",
    I,
)
CLOSERS = re.compile(
    r"(?:[\s,;-]+(?:by the way|btw|please|thanks|thank you(?: very much)?|ok\??|okay\??|"
    r"you know|now|nowadays|"
    r"these days|(?:so )?(?:please )?(?:remember|note|keep|store|save) (?:that|this|"
    r"it)(?: please)?|"
    r"(?:it(?:'s| is) )?(?:nice|good|great|pleased|lovely) to meet you|from now on|if that matters|"
    r"as you (?:may |might )?know|just so you know|fyi|for (?:future|your) reference|"
    r"right))+[\s.!]*$",
    I,
)
POLITE = (
    r"(?:(?:please|kindly|also|just|now|i(?:'d| would) (?:like|love) you to|i want you to|"
    r"i need you to|"
    r"(?:can|could|would|will) you(?: please)?|you (?:can|could|may|should|might want to|ought to)|"
    r"it would be (?:great|nice|good) if you (?:could|would)|make sure (?:to|you)|try to|"
    r"be sure to|"
    r"don't forget to|let's)\s+)*"
)
STRONG = re.compile(
    rf"^{POLITE}(?:"
    r"(?:always )?remember|keep in mind|bear in mind|(?:do not|don't|never) forget|memori[sz]e|"
    r"keep (?:a )?(?:note|track) (?:of (?:the fact )?)?|make a (?:mental )?note(?: (?:for|"
    r"to) yourself)?(?: of)?|"
    r"take (?:a )?note(?: of)?|(?:for the record|for (?:future|your) reference|"
    r"for your information|fyi|"
    r"just so (?:that )?you know|so you know)|"
    r"(?:save|store|put|write|add|note|keep|record) (?:this |it |that |the following )?"
    r"(?:down )?(?:in|into|to) (?:your |core |the )*memory|(?:learn|know)(?= that)"
    r")\b(?P<rest>.*)$",
    I | re.DOTALL,
)
WEAK = re.compile(
    rf"^{POLITE}(?:note down|note|jot down|write down|(?:save|store|record|"
    rf"keep)(?: down)?)\b(?P<rest>.*)$",
    I | re.DOTALL,
)
ASKED_AFTER = re.compile(
    r"(?:[\s,;.-]+(?:so |and )?(?:please )?(?:remember|note|keep|store|save|memori[sz]e|"
    r"don't forget) (?:that|this|it)\b|"
    r"[\s]*[,;.-]\s*(?:so |and )?(?:please )?(?:remember|don't forget|keep that in mind|"
    r"bear that in mind))(?: please)?\W*$",
    I,
)
ADD = re.compile(rf"^{POLITE}(?:add|put|append|insert|write)\b(?P<rest>.*)$", I | re.DOTALL)
ARCHIVE = re.compile(
    rf"^{POLITE}(?:"
    r"(?:archive|file away)\b"
    r"|(?:put|save|store|add|insert|write|keep|record|note|file|remember|place|"
    r"log)\b(?P<before>.*?)\b"
    r"(?:in|into|to|for)\s+(?:your |my |the |our )*"
    r"(?:archiv\w+|long[- ]term)(?: (?:memory|storage|store|archive))?"
    r")(?P<rest>.*)$",
    I | re.DOTALL,
)
IN_BLOCK = re.compile(
    r"(?:in|into|to) (?:your |my |the )*"
    r"(?:(?P<quote>[\"'`])(?P<quoted>.+?)(?P=quote)|(?P<label>[\w/-]+)) (?:memory )?block\b",
    I,
)
LEADING = re.compile(
    r"^(?:[\s:,.;-]+|(?:that|the fact that|this|the following|about(?= (?:me|my))|of me|for me|"
    r"for yourself|"
    r"for later|down|somewhere|it)\b[\s:,]*)+",
    I,
)
NAME_OF_ME = re.compile(
    r"^(?:my (?:full |first |real |nick)?name(?:'s| is)(?: now| actually| really)?|"
    r"i(?:'m| am) (?:now |actually )?(?:called|named)|i go by|i(?: would|'d)? (?:prefer|like|"
    r"want|love) to be (?:called|known as|addressed as)|the name(?:'s| is)|"
    r"(?:it's|it is|this is)(?= (?-i:[A-Z])[\w'. -]* (?:here|speaking)$)|you(?:'re|"
    r" are) (?:talking|speaking) (?:to|with)|"
    r"(?:everybody|everyone|people|friends|you)?(?: can| may| should|"
    r" could)?\s*(?:just )?call(?:s)? me)\s+",
    I,
)
NAME_AND_MORE = re.compile(
    r"^(?:i'm|i am|my name is|my name's|this is|it's) "
    r"(?P<name>(?-i:[A-ZÀ-Þ])[\w'’-]+(?: (?-i:[A-ZÀ-Þ])[\w'’-]+)?), "
    r"(?P<more>an? [^,.;]+)$",
    I,
)
NOTHING = word_set("it that this things everything me to you anything something stuff")
HERE = re.compile(r"^(?P<name>[A-ZÀ-Þ][\w'’-]+(?: [A-ZÀ-Þ][\w'’-]+)*) (?:here|speaking)$")
HOME = re.compile(
    r"^(?:i|we)(?:'m|'ve| am| have|'re| are)?(?: now| just| currently| recently)*\s+(?:live|"
    r"living|moved|reside|"
    r"based|relocated|settled)\b(?=.*\b(?:in|to|at|near|on|from)\b)",
    I,
)
JOB = re.compile(
    r"^i(?:'m| am)?(?: now| just| currently)*\s+(?:work(?:ing)? (?:as|for|at|in)\b|employed\b|"
    r"a freelance)|^my (?:job|profession|occupation)\b",
    I,
)
ATTRIBUTE = re.compile(
    r"^(?:my|our) (?P<what>[\w' -]{2,50}?)(?:'s(?! [\w ]{1,30}? (?:is|are|was)\b)| is| are| was|"
    r" were) (?:now )?(?P<value>.+)$",
    I,
)
TRANSIENT_NOUNS = word_set(
    """question questions point problem guess idea bad fault pleasure turn request mistake answer
    order reply message apologies computer screen code kernel notebook plan hope thought
    understanding impression issue concern feeling suggestion"""
)
SINGLE = word_set(
    """favourite favorite preferred email address number phone birthday age anniversary height weight
    size password budget deadline salary username handle nickname surname name timezone
    employer boss manager title profession occupation job hometown"""
)
VERBS = (
    "live|lived|work|worked|like|love|hate|dislike|prefer|enjoy|adore|own|teach|taught|study|studied|speak|play|"
    "drive|ride|run|come from|came from|was born|were born|grew up|grow|eat|drink|use|collect|moved|turned|"
    "graduated|retired|keep|practi[sc]e|train|cook|sing|paint|write|read|code|program|manage|lead|volunteer|"
    "suffer from|follow|support|belong|have|'ve got|have got|can't stand|can't eat|can't drink|"
    "do not|don't|never|always|only|usually|mostly|mainly|also|really|just moved|just turned|just started|"
    "go to bed|get up|wake up|wear|bake|knit|garden|swim|cycle|hike|climb|dance|breed|trade|design|"
    "build|research|specialise|specialize|major"
)
CERTAIN = re.compile(
    rf"^(?:i|we)(?: (?:also|really|mostly|usually|currently|now|absolutely|both))? ?(?:{VERBS})\b",
    I,
)
FLEETING = re.compile(
    r"^(?:i|we) (?:(?:really|also|just) )?(?:(?:like|love|hate|prefer|enjoy|use|have|don't|"
    r"do not|never|always|only|play|"
    r"read|write|run|keep|also|really)\s+)+(?:it|that|this|these|those|them|him|her|you|your|"
    r"a (?:question|"
    r"problem|request|feeling|headache|minute|idea|look|favou?r|cold|doubt)|an? (?:quick |"
    r"small |other )?"
    r"(?:question|idea|issue|request)|questions|no idea|to\b|know|understand|think|mean|see|"
    r"get it|care|mind|"
    r"remember|recall|want|need|believe|agree|feel|feeling|trust|doubt|had|got|have to|said|"
    r"the (?:feeling|answer|impression))\b",
    I,
)
SELF = re.compile(
    r"^(?:i'm|i am|we're|we are)(?: now| also| actually| originally| really)? (?P<what>.+)$", I
)
LASTING = re.compile(
    r"^(?:an? (?!bit\b|little\b|lot\b|fan of (?:it|that|this)\b)|the (?!one\b|same\b)|from |"
    r"allergic|vegan|vegetarian|"
    r"married|single|divorced|engaged to|retired|left-handed|right-handed|colou?r-?blind|blind|"
    r"deaf|dyslexic|"
    r"diabetic|pregnant|\d{1,3}(?: years old)?\b|(?:twenty|thirty|forty|fifty|sixty|seventy|"
    r"eighty)|born|based in|"
    r"lactose|intolerant|working (?:as|for|at)|living in|studying|learning|interested in|"
    r"fond of|into |"
    r"afraid of|good at|bad at|responsible for|in charge of|one of|originally|native|employed)",
    I,
)
DEMONYMS = word_set(
    """american argentinian australian austrian belgian brazilian british bulgarian canadian chilean
    chinese colombian croatian cuban czech danish dutch egyptian english estonian ethiopian
    finnish french german greek hungarian icelandic indian indonesian iranian iraqi irish
    israeli italian jamaican japanese kenyan korean latvian lebanese lithuanian malaysian
    mexican moroccan nepali nigerian norwegian pakistani peruvian polish portuguese romanian
    russian scottish serbian slovak slovenian spanish swedish swiss syrian thai tunisian
    turkish ukrainian vietnamese welsh african asian european catholic jewish muslim hindu
    buddhist christian"""
)
PENDING = re.compile(
    r"^(?:lately |recently |these days |sometimes )?(?:i|we)(?:'m|'ve| am| have|'re| are|"
    r"'d)?(?: also| just| really| been)* "
    r"(?:(?:been )?(?:thinking|considering|wondering (?:whether|if)|planning|dreaming|toying|"
    r"looking for)|might|may|plan to|"
    r"want to|hope to|would (?:love|like) to|'d love to|dream of|intend to|decided|started|"
    r"learning|trying to (?:learn|stop|quit)|"
    r"going to (?:move|start|marry|become|be)|need to (?:lose|stop|quit)|will be|"
    r"have an? (?:exam|appointment|interview|deadline))\b",
    I,
)
INSTRUCTION = re.compile(
    r"^(?:please )?(?:(?P<when>from now on|in (?:the )?future|always|whenever [^,]+|"
    r"every time [^,]+),?\s*)?"
    r"(?:please |you (?:should|must|have to|can) |i(?:'d| would) like you to |"
    r"i want you to )*(?:always |only |never )?"
    r"(?P<verb>answer|reply|respond|speak|talk|write to|address|be|use|act|behave|sign|greet|"
    r"keep your|end|stop|"
    r"avoid|sound)\b(?P<rest>.*)$",
    I,
)
CORRECTION = re.compile(
    r"^(?:no|nope|wrong|actually|correction|sorry|wait)\b[\s,.!:;-]+(?:(?:no|actually|sorry|wait)[\s,.!]+)*"
    r"(?P<what>(?:the|our|my|this) [\w' -]{2,40}?) (?P<is>is|are|was|were) (?P<value>.+)$",
    I,
)
FORGET = re.compile(
    rf"^{POLITE}(?:forget|delete|remove|erase|unlearn|drop)\b(?P<what>.*?)(?:\s*(?:from|"
    rf"in) (?:your |the )?(?:core )?memory)?[.!]*$",
    I,
)
CHANGE = re.compile(
    rf"^{POLITE}(?:change|update|correct|set|switch|replace|edit)\s+(?:my|our|"
    rf"the user's)\s+(?P<what>.+?)"
    r"(?:\s+from\s+.+?)?\s+(?:to|into|with|:)\s+(?P<value>.+?)[.!]*$",
    I,
)
PASSING_STATES = word_set(
    """fine good well ok okay great happy glad sad sorry sure afraid ready done back here there late
    early busy tired hungry thirsty sleepy bored excited confused lost stuck curious free
    available off away going coming trying looking wondering thinking asking talking just not
    so very too really still only about getting feeling having doing making using running
    waiting joking kidding serious right wrong aware grateful thankful home out in on at
    pleased delighted impressed surprised annoyed angry frustrated cold warm hot ill sick
    better worse alone almost finished leaving done kidding unsure certain quite pretty a"""
)
