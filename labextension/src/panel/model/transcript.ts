// Follows a run by its events, and gives what is known of it as a snapshot for the run's view.

import { isRecord, readSnapshot, type ISnapshot } from '../../snapshot';
import { meaning } from '../../stopReasons';
import type { IToolCall } from './records';

type Fields = Record<string, unknown>;

/** Characters of a text that are kept; the agent's history has everything. */
const LONGEST = 200_000;
const LONGEST_OUTPUT = 8_000;

/** What a run that goes on from another adds to its figures. */
const FIGURES = [
  'steps',
  'seconds',
  'prompt_tokens',
  'completion_tokens',
  'cached_tokens',
  'reasoning_tokens',
  'cost'
];

interface IEntry {
  step: number;
  /** What streamed may still be void. */
  provisional: boolean;
  /** Which of the step's parallel calls, while it streams. */
  index: number | null;
  data: Fields & { kind: string };
}

/** One run as far as its events have told. */
export class Transcript {
  state: ISnapshot['state'] = 'running';

  /** What waits for a person's decision. */
  waiting: IToolCall[] = [];

  handle(event: Fields & { readonly type: string }): void {
    if (isAnswering(event)) {
      this._decided(event.call_id);
      this._entries = this._entries.filter(({ data }) => data.id !== event.call_id);
      return; // the answer itself is shown as text
    }
    switch (event.type) {
      case 'run_queued':
        this._head = { agent: event.agent_name };
        this._leaveQueue();
        this._add({ kind: 'notice', level: 'info', text: event.text, waits: true });
        break;
      case 'run_started':
        this._leaveQueue();
        this._before = this._footer;
        this.state = 'running';
        this.waiting = [];
        this._head = {
          agent: event.agent_name,
          model: event.model,
          label: event.model_label
        };
        break;
      case 'step_started':
        this._step++;
        if (Array.isArray(event.retrieved) && event.retrieved.length) {
          const passages = event.retrieved
            .filter(isRecord)
            .map(passage => ({ text: passage.content ?? passage.text }));
          this._add({ kind: 'retrieved', passages });
        }
        break;
      case 'reasoning_delta':
        this._stream('reasoning', event.text);
        break;
      case 'text_delta':
        this._stream('answer', event.text);
        break;
      case 'tool_call_delta':
        this._callDelta(event);
        break;
      case 'stream_reset':
        this._entries = this._entries.filter(e => e.step !== this._step || !e.provisional);
        break;
      case 'tool_started':
        this._decided(event.call_id);
        this._settle(event, {
          state: 'running',
          arguments: event.arguments,
          runs_in: event.runs_in
        });
        break;
      case 'tool_progress':
        this._progress(event);
        break;
      case 'tool_returned':
        this._decided(event.call_id);
        this._settle(event, {
          state: event.status,
          result: event.text,
          display: event.display,
          error: event.error,
          traceback: event.traceback,
          seconds: event.seconds,
          progress: ''
        });
        break;
      case 'memory_changed':
        this._add({ ...event, kind: 'memory' });
        break;
      case 'approval_requested':
        this.state = 'waiting';
        this.waiting = Array.isArray(event.calls) ? (event.calls as IToolCall[]) : [];
        for (const call of this.waiting) {
          this._settle({ call_id: call.id, name: call.name }, { state: 'waiting' }, call.arguments);
        }
        break;
      case 'notice':
        this._add({ kind: 'notice', level: event.level, text: event.text });
        break;
      case 'step_ended':
        if (event.model && event.model !== this._head.model) {
          this._head = { ...this._head, model: event.model, label: event.model_label };
        }
        this._commit(Array.isArray(event.messages) ? event.messages.filter(isRecord) : []);
        break;
      case 'run_ended':
        this._end(event);
        break;
    }
  }

  /** Whether nothing was said or done yet. */
  get empty(): boolean {
    return !this._entries.length;
  }

  /** No more events will come. */
  close(): void {
    if (this.state === 'running') {
      this.state = 'interrupted';
    }
    this._interruptOpen();
  }

  snapshot(): ISnapshot {
    const items = this._entries.map(entry => entry.data);
    const data = { version: 1, ...this._head, state: this.state, items, footer: this._footer };
    return readSnapshot(data) as ISnapshot;
  }

  /** What was committed but not streamed is shown all the same. */
  private _commit(messages: Fields[]): void {
    for (const message of messages.filter(({ role }) => role === 'assistant')) {
      const mine = () => this._entries.filter(({ step }) => step === this._step);
      for (const [kind, text] of [
        ['reasoning', message.reasoning],
        ['answer', message.content]
      ] as [string, unknown][]) {
        if (text && !mine().some(({ data }) => data.kind === kind)) {
          this._add({ kind, text });
        }
      }
      if (message.interrupted) {
        mine().forEach(({ data }) => (data.interrupted = data.kind === 'answer'));
      }
    }
    this._entries.forEach(entry => (entry.provisional = false));
  }

  private _leaveQueue(): void {
    this._entries = this._entries.filter(({ data }) => data.waits !== true);
  }

  private _decided(callId: unknown): void {
    if (this.state === 'waiting') {
      this.waiting = this.waiting.filter(({ id }) => id !== callId);
      this.state = 'running';
    }
  }

  private _end(event: Fields): void {
    const usage = isRecord(event.usage) ? event.usage : {};
    this._leaveQueue(); // if it was stopped before its turn: a line of its own says so
    this._footer = { ...usage, ...event };
    for (const name of FIGURES) {
      const [before, now] = [this._before[name], this._footer[name]];
      if (typeof before === 'number') {
        this._footer[name] = before + (typeof now === 'number' ? now : 0);
      }
    }
    if (meaning(String(event.stop_reason)) === 'waits') {
      this.state = 'waiting';
      return;
    }
    this.waiting = [];
    this.state = meaning(String(event.stop_reason)) === 'cancelled' ? 'interrupted' : 'ended';
    this._interruptOpen();
  }

  private _interruptOpen(): void {
    for (const { data } of this._entries) {
      const open = ['writing', 'running'].includes(String(data.state));
      const undecided = data.state === 'waiting' && !this.waiting.length;
      if (data.kind === 'tool_call' && (open || undecided)) {
        data.state = 'interrupted';
      }
    }
  }

  private _add(data: IEntry['data'], provisional = false): IEntry {
    const entry = { step: this._step, provisional, index: null, data };
    this._entries.push(entry);
    return entry;
  }

  private _stream(kind: string, text: unknown): void {
    const last = this._entries[this._entries.length - 1];
    const piece = String(text ?? '');
    if (last?.data.kind === kind && last.provisional && last.step === this._step) {
      last.data.text = (String(last.data.text) + piece).slice(0, LONGEST);
    } else {
      this._add({ kind, text: piece }, true);
    }
  }

  private _callDelta(event: Fields): void {
    const entry =
      this._entries.find(
        e => e.step === this._step && e.provisional && e.index !== null && e.index === event.index
      ) ?? this._call(event.id, event.name);
    entry.provisional = true;
    entry.index = Number(event.index);
    entry.data.id ||= event.id;
    entry.data.name ||= event.name;
    entry.data.arguments = String(entry.data.arguments) + String(event.arguments ?? '');
  }

  /** Say how a call stands that is no longer being written. */
  private _settle(event: Fields, now: Fields, written?: string): void {
    const entry = this._find(event.call_id) ?? this._call(event.call_id, event.name);
    entry.provisional = false;
    Object.assign(entry.data, now);
    if (written !== undefined) {
      entry.data.arguments = parsed(written);
    }
  }

  private _progress(event: Fields): void {
    const data = this._find(event.call_id)?.data;
    if (data && event.stream === 'progress') {
      data.progress = event.text;
    } else if (data) {
      data.output = (String(data.output ?? '') + String(event.text)).slice(-LONGEST_OUTPUT);
    }
  }

  private _call(id: unknown, name: unknown): IEntry {
    return this._add({ kind: 'tool_call', id, name, arguments: '', state: 'writing' });
  }

  private _find(id: unknown): IEntry | undefined {
    const calls = this._entries.filter(({ data }) => data.kind === 'tool_call' && data.id === id);
    return calls[calls.length - 1];
  }

  private _head: Fields = {};
  private _footer: Fields = {};
  private _before: Fields = {}; // of the runs this one goes on from
  private _entries: IEntry[] = [];
  private _step = 0;
}

/** A call's arguments by name, or the text as it is where it is no JSON object. */
function parsed(written: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(written);
    return isRecord(value) ? value : written;
  } catch {
    return written;
  }
}

/** The call by which an agent of heartbeat style answers, unless it failed. */
function isAnswering(event: Fields & { readonly type: string }): boolean {
  const failed = event.type === 'tool_returned' && event.status !== 'ok';
  const called = event.type === 'tool_started' || event.type === 'tool_returned';
  return called && !failed && event.name === 'send_message';
}
