// The content of `application/vnd.letta.run.v1+json`, and a reader that takes whatever a file holds.

import { cleanThumbnail } from './clean';

export const RUN_MIME_TYPE = 'application/vnd.letta.run.v1+json';

export type RunState = 'running' | 'ended' | 'interrupted' | 'waiting';
export type CallState =
  'writing' | 'running' | 'ok' | 'error' | 'interrupted' | 'denied' | 'waiting';
export type Bundle = Record<string, unknown>;

export interface IReasoning {
  kind: 'reasoning';
  text: string;
}

export interface IAnswer {
  kind: 'answer';
  text: string;
  interrupted: boolean;
}

export interface INotice {
  kind: 'notice';
  level: 'info' | 'warning' | 'error';
  text: string;
  /** It says whom the run waits for. */
  waits: boolean;
}

export interface IRetrieved {
  kind: 'retrieved';
  passages: string[];
}

/** What went with the message: descriptions, and small pictures as data URLs or nothing. */
export interface IPictures {
  kind: 'pictures';
  pictures: { alt: string; src: string }[];
}

/** What a notebook placed beside the message: one chip each. */
export interface IBeside {
  kind: 'beside';
  parts: { kind: string; name: string; note: string; text: string }[];
}

/** Whose words follow; `place` is the agent's among those of its group. */
export interface ISpeaker {
  kind: 'speaker';
  place: number;
  name: string;
  model: string;
  label: string;
}

export interface IMemory {
  /** Memory that the agent changed, or what a person changed of a step by hand. */
  kind: 'memory' | 'edited';
  label: string;
  before: string;
  after: string;
  version: number | null;
}

export interface IToolCall {
  kind: 'tool_call';
  name: string;
  /** Named arguments, or the raw text while it is being written or where it is no JSON object. */
  arguments: Record<string, unknown> | string;
  state: CallState;
  runsIn: string;
  seconds: number | null;
  result: string;
  display: Bundle | null;
  error: string;
  traceback: string;
  output: string;
  progress: string;
  /** The runs of other agents that it has asked for. */
  asked: ISnapshot[];
}

export type Item = IReasoning | IAnswer | INotice | IRetrieved | IPictures | IBeside | IMemory | ISpeaker | IToolCall;

export interface IFooter {
  stopReason: string;
  error: string;
  steps: number | null;
  seconds: number | null;
  firstToken: number | null;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  cost: number | null;
}

export interface ISnapshot {
  agent: string;
  /** The agent that spoke the message; empty for a person. */
  sender: string;
  model: string;
  label: string;
  state: RunState;
  items: Item[];
  /** What the numbers in brackets refer to, by the number: its text, and when and where it came from. */
  cites: Record<string, string>;
  footer: IFooter;
}

/** Entries drawn at most; the kernel keeps to the same bound. */
const MOST_ITEMS = 1001;
const MOST_ASKED = 50;
/** Runs within runs that are read. */
const DEEPEST = 8;

/**
 * Read a snapshot from data that may come from anyone's notebook: what is missing or of the wrong
 * kind becomes empty, entries of an unknown kind are left out. Null if it is no snapshot at all or of a
 * later version.
 */
export function readSnapshot(data: unknown): ISnapshot | null {
  return isRecord(data) && data.version === 1 ? readRun(data, 0) : null;
}

function readRun(data: Record<string, unknown>, depth: number): ISnapshot {
  const items = Array.isArray(data.items) ? data.items.slice(0, MOST_ITEMS) : [];
  return {
    agent: text(data.agent) || 'agent',
    sender: text(data.sender),
    model: text(data.model),
    label: text(data.label),
    state: oneOf(data.state, ['running', 'ended', 'interrupted', 'waiting'], 'ended'),
    items: items.map(item => readItem(item, depth)).filter(item => item !== null),
    cites: Object.fromEntries(
      (Array.isArray(data.cites) ? data.cites : []).filter(isRecord).map(one => {
        const where = [text(one.at).slice(0, 10), text(one.origin)].filter(Boolean);
        return [one.n, `${text(one.text)} (${where.join(' · ')})`];
      })
    ),
    footer: readFooter(isRecord(data.footer) ? data.footer : {})
  };
}

function readItem(data: unknown, depth: number): Item | null {
  if (!isRecord(data)) {
    return null;
  }
  switch (data.kind) {
    case 'reasoning':
      return { kind: 'reasoning', text: prose(data.text) };
    case 'answer':
      return { kind: 'answer', text: prose(data.text), interrupted: data.interrupted === true };
    case 'notice':
      return {
        kind: 'notice',
        level: oneOf(data.level, ['info', 'warning', 'error'], 'info'),
        text: text(data.text),
        waits: data.waits === true
      };
    case 'retrieved':
      return {
        kind: 'retrieved',
        passages: (Array.isArray(data.passages) ? data.passages : [])
          .filter(isRecord)
          .map(passage => text(passage.text))
      };
    case 'pictures':
      return {
        kind: 'pictures',
        pictures: (Array.isArray(data.pictures) ? data.pictures.slice(0, 20) : [])
          .filter(isRecord)
          .map(({ alt, src }) => ({ alt: text(alt), src: cleanThumbnail(src) }))
      };
    case 'beside':
      return {
        kind: 'beside',
        parts: (Array.isArray(data.parts) ? data.parts : []).filter(isRecord).map(part => ({
          kind: text(part.kind),
          name: text(part.name),
          note: text(part.note),
          text: text(part.text)
        }))
      };
    case 'speaker':
      return {
        kind: 'speaker',
        place: Math.max(0, Math.floor(number(data.place) ?? 0)),
        name: text(data.name) || 'agent',
        model: text(data.model),
        label: text(data.label)
      };
    case 'memory':
    case 'edited':
      return {
        kind: data.kind,
        label: text(data.label),
        before: text(data.before),
        after: text(data.after),
        version: number(data.version)
      };
    case 'tool_call':
      return {
        kind: 'tool_call',
        name: text(data.name) || 'tool',
        arguments: isRecord(data.arguments)
          ? ordered(data.arguments, data.order)
          : text(data.arguments),
        state: oneOf(
          data.state,
          ['writing', 'running', 'ok', 'error', 'interrupted', 'denied', 'waiting'],
          'ok'
        ),
        runsIn: text(data.runs_in),
        seconds: number(data.seconds),
        result: text(data.result),
        display: isRecord(data.display) ? data.display : null,
        error: text(data.error),
        traceback: text(data.traceback),
        output: text(data.output),
        progress: text(data.progress),
        asked: (Array.isArray(data.asked) && depth < DEEPEST ? data.asked.slice(0, MOST_ASKED) : [])
          .filter(isRecord)
          .map(run => readRun(run, depth + 1))
      };
    default:
      return null;
  }
}

function readFooter(data: Record<string, unknown>): IFooter {
  return {
    stopReason: text(data.stop_reason),
    error: text(data.error),
    steps: number(data.steps),
    seconds: number(data.seconds),
    firstToken: number(data.first_token),
    promptTokens: number(data.prompt_tokens) ?? 0,
    completionTokens: number(data.completion_tokens) ?? 0,
    cachedTokens: number(data.cached_tokens) ?? 0,
    reasoningTokens: number(data.reasoning_tokens) ?? 0,
    cost: number(data.cost)
  };
}

export function isRecord(data: unknown): data is Record<string, unknown> {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

function text(data: unknown): string {
  return typeof data === 'string' ? data : '';
}

/** A text, or the lines of one, as notebooks keep long texts. */
function prose(data: unknown): string {
  return Array.isArray(data) ? data.map(text).join('') : text(data);
}

function number(data: unknown): number | null {
  return typeof data === 'number' && Number.isFinite(data) ? data : null;
}

function oneOf<T extends string>(data: unknown, allowed: readonly T[], otherwise: T): T {
  return allowed.find(value => value === data) ?? otherwise;
}

/** What is named, in the order it was given in: a saved notebook has its keys sorted. */
function ordered(given: Record<string, unknown>, order: unknown): Record<string, unknown> {
  const names = Array.isArray(order) ? order.map(String).filter(name => name in given) : [];
  return Object.fromEntries([...names, ...Object.keys(given)].map(name => [name, given[name]]));
}
