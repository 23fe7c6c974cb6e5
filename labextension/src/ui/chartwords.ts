// What the kernel calls the parts of requests and plots, in a person's language. Names of people's own, as of blocks, stay.

import type { Trans } from './words';

/** The colours of what a context window is made of, as its plot has them (`service/plots/context.py`). */
const HUES: Record<string, number> = {
  ...{ instructions: 0, tools: 1, 'memory blocks': 2, files: 3, summary: 4, history: 5 },
  ...{ skills: 6, notebook: 8 }
};

/** The number of the colour of a part of the context window. */
export function partHue(name: string): number {
  return HUES[name] ?? 7;
}

/** The name of a part, as it is shown. */
export function partWord(name: string, trans: Trans): string {
  const words: Record<string, string> = {
    // tokens and cost
    'read, from the cache': trans.__('read, from the cache'),
    read: trans.__('read'),
    thought: trans.__('thought'),
    written: trans.__('written'),
    'a step': trans.__('a step'),
    'cost so far': trans.__('cost so far'),
    // the context window
    'system prompt': trans.__('system prompt'),
    instructions: trans.__('instructions'),
    skills: trans.__('skills'),
    settings: trans.__('settings'),
    messages: trans.__('messages'),
    history: trans.__('history'),
    tools: trans.__('tools'),
    'memory blocks': trans.__('memory blocks'),
    files: trans.__('files'),
    summary: trans.__('summary'),
    'earlier messages': trans.__('earlier messages'),
    'this turn': trans.__('this turn'),
    notebook: trans.__('notebook'),
    'retrieved passages': trans.__('retrieved passages'),
    'counted by the provider': trans.__('counted by the provider'),
    'the window': trans.__('the window'),
    compacted: trans.__('compacted'),
    // memory
    archive: trans.__('archive'),
    before: trans.__('Before'),
    // what a rank is made of
    words: trans.__('words'),
    context: trans.__('context'),
    meaning: trans.__('meaning'),
    time: trans.__('time'),
    speaker: trans.__('speaker'),
    question: trans.__('question'),
    relevant: trans.__('relevant'),
    // units
    tokens: trans.__('tokens'),
    characters: trans.__('characters'),
    passages: trans.__('passages'),
    'US dollars': trans.__('US dollars')
  };
  return words[name] ?? name;
}
