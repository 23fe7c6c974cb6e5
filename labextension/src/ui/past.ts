// An agent's past, as the kernel tells of it and is asked about it.

/** A run of the line that is looked at. */
export interface IPastRun {
  id: string;
  /** The beginning of what was said to the agent. */
  asked: string;
  created_at: string;
  status: string;
  stop_reason: string | null;
  /** For a person's approval, now. */
  waits: boolean;
  error: string | null;
  steps: IPastStep[];
  prompt_tokens: number;
  completion_tokens: number;
  /** In US dollars; null if unknown. */
  cost: number | null;
  seconds: number | null;
  /** The agent it was said to, where that is another one: history that is shared. */
  of: string;
}

/** A point in time that can be gone back to. */
export interface IPastStep {
  id: string;
  number: number;
  model: string;
  error: string | null;
  prompt_tokens: number;
  completion_tokens: number;
  cost: number | null;
  seconds: number | null;
  /** Names of those it called. */
  tools: string[];
  /** A person changed it in the debugger. */
  edited?: boolean;
}

/** An end of the line that was left, and can be returned to; or another agent that begins in this one's past. */
export interface IPastBranch {
  id: string;
  /** The other agent's name; empty: an own end that was left. */
  agent: string;
  created_at: string;
  reason: string;
  /** The run behind which it parts from the line; empty: before the first that is shown. */
  after: string;
  /** Messages that an own end has behind that. */
  messages: number;
}

/** A page of the line, newest first, and what hangs on it. */
export interface IPast {
  runs: IPastRun[];
  /** Whether there are older ones. */
  more: boolean;
  branches: IPastBranch[];
  /** The name of the agent it was forked from; empty: it was made anew. */
  origin: string;
}

export const NO_PAST: IPast = { runs: [], more: false, branches: [], origin: '' };

/** What a rewind would do. */
export interface IRewind {
  runs: number;
  /** Labels of the blocks that would have another text. */
  blocks: string[];
  /** What else would change, what would be left as it is, and what was done outside: each in a line. */
  changed: string[];
  left: string[];
  outside: string[];
}

export type { Ask as AskPast } from './told';
