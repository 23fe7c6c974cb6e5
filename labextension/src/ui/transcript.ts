// What has happened in a run so far: its events as one snapshot, `application/vnd.letta.run.v1+json`.
//
// The same as `letta_kernel/display/transcript.py`; both are tested on the runs in `tests/data/runs`.

import { Cites } from './cites';
import { cleanText, oneLine } from './clean';
import { Footer } from './footer';
import {
  ANSWER_TOOL,
  isAnswering,
  newItem,
  OUTPUT_LIMIT,
  published,
  spoken,
  TEXT_LIMIT,
  type IEvent,
  type IItem,
  type IToolCall
} from './items';
import { aroundTheChange, edited, part, passage, text, thumbnail, type Fields } from './parts';
import { isRecord, type RunState } from './snapshot';
import { meaning } from './stopReasons';
import { duration } from './words';

export type { IEvent, IToolCall };

const VERSION = 1;
const RESULT_LIMIT = 12_000; // characters of a result
const MOST_ITEMS = 1_000;
const MOST_PICTURES = 20;
// Of the runs of other agents that a call has asked for.
const MOST_ASKED = 50;
const MOST_NESTED_ITEMS = 200;
const DEEPEST = 8;

const OPEN = ['writing', 'running', 'waiting'];
const STREAMS = ['reasoning', 'answer', 'tool_call'];

/** One run as far as its events have told, and the runs that went on from it after approvals. */
export class Transcript {
  /** `_depth` says how many runs it is nested in. */
  constructor(
    private _prompt = '',
    private _depth = 0
  ) {}

  get state(): RunState {
    return this._state;
  }

  /** Whether nothing was said or done yet. */
  get empty(): boolean {
    return !this._items.length;
  }

  /** What waits for a person's decision. */
  get waiting(): IToolCall[] {
    const undecided = this._items.filter(({ data }) => data.state === 'waiting').map(i => i.data.id);
    return this._state === 'waiting' ? this._asked.filter(({ id }) => undecided.includes(id)) : [];
  }

  /** Take one event in; those of kinds not known here are passed over. */
  handle(event: IEvent): void {
    this._snapshot = null;
    if (isAnswering(event)) {
      this._items = this._items.filter(({ data }) => data.id !== event.call_id);
    } else {
      this._handlers[event.type]?.(event);
    }
  }

  /** No more events will come: what was still open was interrupted. */
  close(): void {
    this._snapshot = null;
    if (this._queued) {
      const { item } = this._queued;
      this._items = this._items.filter(other => other !== item); // a line of its own says that it was stopped
      this._queued = null;
    }
    if (this._state === 'running') {
      this._state = 'interrupted';
      this._footer.interrupt();
    }
    for (const item of this._items) {
      item.asked.forEach(other => other.close());
      if (this._state === 'interrupted' && item.kind === 'answer' && item.provisional) {
        item.data.interrupted = true;
      }
      if (this._state !== 'waiting' && item.kind === 'tool_call' && OPEN.includes(text(item.data.state))) {
        item.data.state = 'interrupted';
      }
    }
  }

  /** All of it as plain JSON values, every text cleaned and bounded. */
  snapshot(): Fields {
    this._snapshot ??= this._made();
    return this._snapshot;
  }

  private _made(): Fields {
    const items = this._items.slice(0, this._depth ? MOST_NESTED_ITEMS : MOST_ITEMS).map(published);
    const left = this._items.length - items.length;
    if (left > 0) {
      items.push({ kind: 'notice', level: 'info', text: `${left} more entries not shown` });
    }
    const said = items.map(item => (item.kind === 'answer' ? item.text : '')).join('\n');
    const cites = this._cites.of(said);
    const head = Object.entries(this._head).map(([name, value]) => [name, oneLine(value ?? '', 300)]);
    return {
      version: VERSION,
      ...Object.fromEntries(head),
      ...(this._sender ? { sender: oneLine(this._sender, 300) } : {}),
      state: this._state,
      prompt: cleanText(this._prompt, TEXT_LIMIT),
      items,
      ...(cites.length ? { cites } : {}),
      footer: { ...this._footer.figures }
    };
  }

  private readonly _handlers: Record<string, (event: IEvent) => void> = {
    group_started: event => {
      this._state = 'running';
      this._footer.goOn();
      this._head = { run_id: event.run_id, agent: event.group_name, model: '', label: '' };
      const members = Array.isArray(event.members) ? event.members.filter(isRecord) : [];
      this._members = new Map(members.map((one, place) => [text(one.agent_id), place]));
      this._showPictures(event.pictures);
    },
    group_ended: event => this._end(event),
    run_queued: event => {
      if (!this._members) {
        Object.assign(this._head, { run_id: event.run_id, agent: event.agent_name });
      }
      this._queued ??= {
        item: this._add('notice', { level: 'info', text: '', waits: true }),
        since: performance.now(),
        where: text(event.where)
      };
      this._queued.item.data.text = oneLine(event.text, 1_000);
    },
    run_started: event => {
      this._state = 'running';
      if (this._members) {
        this._speaking.push({ run: event, before: this._step });
        this._nextStep();
      } else {
        this._footer.goOn(); // it was approved
      }
      if (this._queued) {
        const { item, since, where } = this._queued;
        const took = duration((performance.now() - since) / 1000);
        Object.assign(item.data, { waits: false, text: `Waited ${took} for ${where}.` });
        this._queued = null;
      }
      this._cites.add(event.cites);
      if (this._members) {
        return; // the group's own are above
      }
      this._head = {
        run_id: event.run_id,
        agent: event.agent_name,
        model: event.model,
        label: event.model_label
      };
      this._sender = text(event.sender) || this._sender;
      this._showPictures(event.pictures);
    },
    step_started: event => {
      this._nextStep();
      if (Array.isArray(event.beside) && event.beside.length) {
        this._add('beside', { parts: event.beside.slice(0, 50).filter(isRecord).map(part) });
      }
      this._cites.add(event.retrieved);
      if (Array.isArray(event.retrieved) && event.retrieved.length) {
        this._add('retrieved', { passages: event.retrieved.slice(0, 50).filter(isRecord).map(passage) });
      }
    },
    reasoning_delta: event => this._stream('reasoning', text(event.text)),
    text_delta: event => this._stream('answer', text(event.text)),
    tool_call_delta: event => {
      let item = findLast(
        this._items,
        one => one.step === this._step && one.provisional && one.callIndex === event.index
      );
      if (!item) {
        item = this._call(text(event.id), text(event.name));
        item.callIndex = Number(event.index);
      }
      item.data.id ||= text(event.id);
      item.data.name ||= text(event.name);
      item.streamed += text(event.arguments);
    },
    stream_reset: () => {
      this._items = this._items.filter(
        ({ kind, step, provisional }) => !(step === this._step && provisional && STREAMS.includes(kind))
      );
    },
    tool_started: event => {
      const item = this._find(event.call_id, event.name);
      Object.assign(item.data, {
        state: 'running',
        arguments: event.arguments,
        runs_in: event.runs_in
      });
      item.provisional = false;
    },
    tool_progress: event => {
      const { data } = this._find(event.call_id);
      if (event.stream === 'progress') {
        data.progress = oneLine(event.text, 200);
      } else {
        data.output = (text(data.output) + text(event.text)).slice(-2 * OUTPUT_LIMIT);
      }
    },
    nested: event => {
      const { asked } = this._find(event.call_id);
      const agent = text(event.agent_id);
      let other = asked.get(agent);
      if (!other) {
        if (this._depth >= DEEPEST || asked.size >= MOST_ASKED) {
          return;
        }
        asked.set(agent, (other = new Transcript('', this._depth + 1)));
      }
      if (isRecord(event.event)) {
        other.handle(event.event as unknown as IEvent);
      }
    },
    tool_returned: event => {
      this._cites.add(event.cites);
      const item = this._find(event.call_id, event.name);
      delete item.data.progress;
      item.asked.forEach(other => other.close());
      Object.assign(item.data, {
        state: event.status,
        seconds: event.status === 'denied' ? null : event.seconds,
        result: cleanText(event.text, RESULT_LIMIT),
        display: isRecord(event.display) ? event.display : null,
        error: event.error ? oneLine(event.error, 500) : null,
        traceback: event.traceback ? cleanText(event.traceback, RESULT_LIMIT) : null
      });
      item.provisional = false;
    },
    memory_changed: event => {
      const [before, after] = aroundTheChange(text(event.before), text(event.after));
      const item = this._add('memory', {
        label: oneLine(event.label),
        before: cleanText(before, RESULT_LIMIT),
        after: cleanText(after, RESULT_LIMIT),
        version: event.version,
        call_id: event.call_id ?? null
      });
      this._moveBelowItsCall(item);
    },
    approval_requested: event => {
      this._state = 'waiting';
      this._asked = Array.isArray(event.calls) ? (event.calls as IToolCall[]) : [];
      for (const call of this._asked) {
        const item = this._find(call.id, call.name);
        item.streamed = call.arguments;
        Object.assign(item.data, { state: 'waiting', arguments: null });
        item.provisional = false;
      }
    },
    notice: event => {
      const seconds = event.seconds ?? null;
      this._add('notice', { level: event.level, text: oneLine(event.text, 1_000), seconds });
    },
    step_ended: event => {
      this._items.forEach(item => (item.provisional = false));
      const messages = Array.isArray(event.messages) ? event.messages.filter(isRecord) : [];
      for (const message of messages) {
        if (message.role === 'assistant') {
          this._settle(message);
        }
        const edits = Array.isArray(message.edits) ? message.edits.slice(0, 50).filter(isRecord) : [];
        edits.forEach(edit => (this._add('edited', edited(edit)).provisional = false));
      }
      this._footer.add(event);
      if (!this._members && event.model && event.model !== this._head.model) {
        Object.assign(this._head, { model: event.model, label: event.model_label }); // a fallback answered
      }
    },
    run_ended: event => {
      if (!this._members) {
        this._end(event);
      } else if (this._speaking.length) {
        this._speakerEnded(event);
      }
    }
  };

  /** The run of one agent of a group is over; that of whoever asked it goes on. */
  private _speakerEnded(event: IEvent): void {
    if (event.stop_reason === 'requires_approval') {
      this._state = 'waiting';
    } else {
      for (const { kind, data, step, provisional } of this._items) {
        if (step === this._step && kind === 'answer' && provisional) {
          data.interrupted = true;
        }
        if (step === this._step && kind === 'tool_call' && OPEN.includes(text(data.state))) {
          data.state = 'interrupted';
        }
      }
    }
    if (event.error && this._speaking.length > 1) {
      this._add('notice', { level: 'error', text: oneLine(event.error, 1_000) });
    }
    this._step = this._speaking.pop()?.before ?? 0;
  }

  private _end(event: IEvent): void {
    const means = meaning(text(event.stop_reason));
    this._state = means === 'waits' ? 'waiting' : means === 'cancelled' ? 'interrupted' : 'ended';
    this._footer.end(event);
    if (event.type === 'run_ended') {
      this._head.model = event.model || this._head.model;
    }
    this.close();
  }

  private _showPictures(pictures: unknown): void {
    if (Array.isArray(pictures) && pictures.length) {
      this._add('pictures', {
        pictures: pictures.slice(0, MOST_PICTURES).filter(isRecord).map(thumbnail)
      });
    }
  }

  private _nextStep(): void {
    this._step = ++this._lastStep;
  }

  private _add(kind: string, data: Fields): IItem {
    const run = this._speaking.at(-1)?.run;
    if (run && run !== this._shown) {
      this._shown = run;
      const said = {
        place: this._members?.get(text(run.agent_id)) ?? 0,
        name: oneLine(run.agent_name, 300),
        model: oneLine(run.model, 300),
        label: oneLine(run.model_label ?? '', 300)
      };
      this._items.push(newItem('speaker', said, this._step, false));
    }
    const item = newItem(kind, data, this._step);
    this._items.push(item);
    return item;
  }

  /** Parallel calls are all written before the first one changes anything. */
  private _moveBelowItsCall(item: IItem): void {
    const items = this._items;
    for (let place = items.length - 1; place && items[place - 1].step === item.step; place--) {
      const { id, call_id } = items[place - 1].data;
      if (item.data.call_id === (id ?? null) || item.data.call_id === (call_id ?? null)) {
        items.splice(place, 0, ...items.splice(-1));
        return;
      }
    }
  }

  private _stream(kind: string, piece: string): void {
    let last = this._items.at(-1);
    if (last?.kind !== kind || last.step !== this._step || !last.provisional) {
      last = this._add(kind, {});
    }
    last.streamed += piece;
  }

  private _call(id: string, name: string): IItem {
    return this._add('tool_call', {
      ...{ id, name, arguments: null, state: 'writing', runs_in: '', seconds: null, result: '' },
      ...{ display: null, error: null, traceback: null, output: '' }
    });
  }

  /** The newest call of that id (providers repeat ids in later runs), made if never seen. */
  private _find(id: unknown, name: unknown = ''): IItem {
    return (
      findLast(this._items, ({ kind, data }) => kind === 'tool_call' && data.id === id) ??
      this._call(text(id), text(name))
    );
  }

  /** What was committed but not streamed is shown all the same. */
  private _settle(message: Fields): void {
    const mine = this._items.filter(({ step }) => step === this._step);
    const calls = Array.isArray(message.tool_calls) ? (message.tool_calls as IToolCall[]) : [];
    for (const [kind, said] of [
      ['reasoning', text(message.reasoning)],
      ['answer', spoken(text(message.content), calls)]
    ]) {
      if (said && !mine.some(item => item.kind === kind)) {
        this._add(kind, {}).streamed = said;
      }
    }
    for (const call of calls) {
      if (call.name !== ANSWER_TOOL || mine.some(({ data }) => data.id === call.id)) {
        const item = this._find(call.id, call.name);
        item.streamed ||= call.arguments;
      }
    }
    for (const item of this._items) {
      if (message.interrupted && item.step === this._step && item.kind === 'answer') {
        item.data.interrupted = true;
      }
      item.provisional = false;
    }
  }

  private _items: IItem[] = [];
  private readonly _cites = new Cites();
  private _snapshot: Fields | null = null;
  private _step = 0;
  private _lastStep = 0;
  /** Places of a group's agents, by their ids. */
  private _members: Map<string, number> | null = null;
  /** Whose runs go on, and the step before each. */
  private _speaking: { run: IEvent; before: number }[] = [];
  /** Whose name stands above the newest entries. */
  private _shown: IEvent | null = null;
  private _state: RunState = 'running';
  private _asked: IToolCall[] = [];
  private _sender = '';
  private _head: Fields = { run_id: '', agent: '', model: '', label: '' };
  private readonly _footer = new Footer();
  /** The line of a wait, since when, and for whom. */
  private _queued: { item: IItem; since: number; where: string } | null = null;
}

function findLast<T>(items: readonly T[], wanted: (item: T) => boolean): T | undefined {
  return [...items].reverse().find(wanted);
}
