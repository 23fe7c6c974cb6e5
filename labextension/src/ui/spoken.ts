// A run for those who listen: a sentence whenever it goes on to something else, and the answer once, as a whole.

import type { ISnapshot } from './snapshot';
import { oneLine, stateWord, type Trans } from './words';

/** Letters of an answer that are read aloud unasked; the whole of it can be read where it stands. */
const LONGEST = 600;

/** One sentence for those who listen instead of looking. */
export function spoken({ agent, items, state }: ISnapshot, trans: Trans): string {
  if (state === 'waiting') {
    return trans.__('%1 waits for your approval.', agent);
  }
  const last = items.at(-1);
  if (state !== 'running') {
    return last?.kind === 'answer' && last.text
      ? trans.__('%1 says: %2', agent, oneLine(last.text, LONGEST))
      : trans.__('%1 has ended.', agent);
  }
  switch (last?.kind) {
    case undefined:
      return trans.__('%1 is starting.', agent);
    case 'answer':
      return trans.__('%1 is answering.', agent);
    case 'reasoning':
      return trans.__('%1 is thinking.', agent);
    case 'tool_call':
      return `${oneLine(last.name, 80)}: ${stateWord(last.state, trans)}.`;
    case 'memory':
      return trans.__('The memory block %1 was changed.', oneLine(last.label, 80));
    default:
      return trans.__('%1 is working.', agent);
  }
}
