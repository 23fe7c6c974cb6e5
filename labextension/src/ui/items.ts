// The items of a transcript: thoughts, answers, calls, as they stream and as the snapshot has them.

import { cleanText, oneLine } from './clean';
import { parsed, plain, text, type Fields } from './parts';
import { isRecord } from './snapshot';

/** An event of a run (`letta_kernel/messages.py`) as it comes over the wire. */
export interface IEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface IToolCall {
  id: string;
  name: string;
  /** JSON, just as the model wrote it. */
  arguments: string;
}

// Characters of one field that are kept for people. The history in the store has everything.
export const TEXT_LIMIT = 200_000;
const REASONING_LIMIT = 40_000;
export const OUTPUT_LIMIT = 8_000;

/** The tool by which an agent of heartbeat style answers. */
export const ANSWER_TOOL = 'send_message';

/** The transcript of another agent's run, shown inside a call. */
interface IShown {
  handle(event: IEvent): void;
  close(): void;
  snapshot(): Fields;
}

export interface IItem {
  kind: string;
  data: Fields;
  /** What has streamed of its text. */
  streamed: string;
  step: number;
  /** This step's stream may still be void. */
  provisional: boolean;
  /** Which of the step's parallel calls, while it streams. */
  callIndex: number | null;
  /** Runs of other agents that a call has asked for, by agent. */
  asked: Map<string, IShown>;
}

export function newItem(kind: string, data: Fields, step: number, provisional = true): IItem {
  return { kind, data, streamed: '', step, provisional, callIndex: null, asked: new Map() };
}

/** The call by which an agent of heartbeat style answers, unless it failed: the answer is shown as text. */
export function isAnswering(event: IEvent): boolean {
  const returned = event.type === 'tool_returned' && event.status === 'ok';
  return event.name === ANSWER_TOOL && (returned || event.type === 'tool_started');
}

/** What is said by a text and by the calls that answer. */
export function spoken(content: string, calls: IToolCall[]): string {
  const answers = calls
    .filter(({ name }) => name === ANSWER_TOOL)
    .map(call => {
      const given = parsed(call.arguments);
      return isRecord(given) ? text(given.message) : '';
    });
  return [content, ...answers].filter(Boolean).join('\n');
}

/** An item as the snapshot has it: every text clean and bounded. */
export function published({ kind, data, streamed, asked }: IItem): Fields {
  const result: Fields = { kind, ...data };
  if (kind === 'reasoning' || kind === 'answer') {
    result.text = cleanText(streamed, kind === 'answer' ? TEXT_LIMIT : REASONING_LIMIT);
  } else if (kind === 'tool_call') {
    const written = data.state === 'writing' ? streamed : parsed(streamed);
    const given = plain(data.arguments ?? written);
    result.arguments = given;
    if (isRecord(given)) {
      const names = Object.keys(given);
      if (names.join('\n') !== [...names].sort().join('\n')) {
        result.order = names; // a saved notebook has its keys sorted
      }
    }
    result.name = oneLine(data.name, 200);
    result.id = oneLine(data.id, 200);
    result.output = cleanText(data.output, OUTPUT_LIMIT);
    if (asked.size) {
      result.asked = [...asked.values()].map(other => nested(other.snapshot()));
    }
  }
  return result;
}

/** What is shown of the run of another agent: no figures of its tools, and not what it was told. */
function nested(snapshot: Fields): Fields {
  const { version: _version, prompt: _prompt, sender: _sender, items, ...rest } = snapshot;
  const shown = (items as Fields[]).map(item =>
    item.kind === 'tool_call' ? { ...item, display: null } : item
  );
  return { ...rest, items: shown };
}
