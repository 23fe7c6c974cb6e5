// What the kernel tells of agents, in the shapes it sends.

import type { IToolCall } from '../../ui/items';

export type { IToolCall };

export type AgentStatus = 'idle' | 'running' | 'waiting';

export interface IAgent {
  id: string;
  name: string;
  description: string;
  /** The model it is set to; null: each run chooses. */
  model: string | null;
  /** The model that would answer now. */
  answers: string;
  /** What a person has to know of that model, such as that it is no language model. */
  label: string;
  state: AgentStatus;
  tags: string[];
  /** The groups it is in, as they are called in cells; older kernels do not tell. */
  groups?: string[];
  /** Of somebody else's agent: whose it is, and what one may. */
  shared?: IShared;
}

export interface IShared {
  owner: string;
  rights: ('read' | 'talk' | 'write')[];
  /** The owner's tools that run for whoever talks with it. */
  tools: string[];
}

/** What others share, as a kernel or server tells it. */
export interface ISharedAgents {
  agents: IAgent[];
  /** Why that cannot be said now; empty if it can. */
  problem: string;
  /** Where they are. */
  server: string;
  /** What that server wants everybody to know. */
  notice: string;
}

/** Whether one may talk with an agent from here. */
export function mayTalk({ shared }: IAgent): boolean {
  return !shared || shared.rights.some(right => right !== 'read');
}

/** Whether one may see its memory. */
export function mayRead({ shared }: IAgent): boolean {
  return !shared || shared.rights.some(right => right !== 'talk');
}

export interface IContextPart {
  name: string;
  tokens: number;
  text: string;
}

export interface IContext {
  model: string;
  window: number;
  parts: IContextPart[];
}

export interface ITool {
  id: string;
  name: string;
  description: string;
  parameters: Record<string, unknown>;
  source: string;
  /** Where it runs now. */
  place: 'core' | 'notebook' | 'sandbox' | 'mcp';
  requires_approval: boolean;
  notebook: string | null;
  cell_id: string | null;
  calls: number;
  failures: number;
  last_error: string | null;
  /** Of all calls together. */
  seconds: number;
}

export interface IOutcome {
  status: 'ok' | 'error' | 'interrupted' | 'denied';
  text: string;
  error: string | null;
  seconds: number;
  /** A MIME bundle for people. */
  display: Record<string, unknown> | null;
  /** What it printed. */
  output: string;
  note: string | null;
}

export interface IPassage {
  id: string;
  seq: number;
  content: string;
  tags: string[];
  created_at: string;
  /** Who kept it, how, and after which message. */
  origin: string;
  superseded_by?: string | null;
}

export interface IMessage {
  id: string;
  seq: number;
  run_id: string | null;
  role: 'system' | 'user' | 'assistant' | 'tool' | 'summary' | 'event';
  content: string;
  reasoning: string;
  tool_calls: IToolCall[];
  name: string | null;
  /** The agent that spoke it, whose name is `name`; none for a person. */
  sender_id?: string | null;
  status: IOutcome['status'] | null;
  interrupted: boolean;
  created_at: string;
  conversation_id?: string | null;
  thumbnails?: { alt: string; src: string }[];
}

interface ICounts {
  id: string;
  model: string;
  stop_reason: string | null;
  error: string | null;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
  /** In US dollars; null if unknown. */
  cost: number | null;
  first_token: number | null;
  seconds: number | null;
  created_at: string;
}

export interface IRun extends ICounts {
  status: 'created' | 'running' | 'completed' | 'failed' | 'cancelled';
  steps: number;
  /** The beginning of what was said to the agent. */
  asked: string;
  /** For a person's approval, now. */
  waits: boolean;
}

export interface IStep extends ICounts {
  number: number;
  tool_stats: { name?: string; status?: string; seconds?: number }[];
}

/** What runs took together. */
export interface ICost {
  runs: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost: number | null;
}

export interface IModelInfo {
  name: string;
  usable: boolean;
}

export interface IDecision {
  call_id: string;
  approve: boolean;
  reason?: string;
  arguments?: Record<string, unknown>;
}

/** A thread with an agent beside its own. */
export interface IConversation {
  id: string;
  /** Empty: it has none yet. */
  title: string;
  created_at: string;
  last_message_at: string | null;
}

/** Ask the kernel or the server something; rejects with an error whose message is one line for people. */
export type Ask = <T>(method: string, params?: object) => Promise<T>;
