// Written by labextension/generate.py from letta_kernel/stop_reasons.py.

export type Meaning = 'well' | 'limit' | 'failed' | 'cancelled' | 'waits';

const MEANINGS: Record<string, Meaning> = {
  end_turn: 'well',
  tool_rule: 'well',
  max_steps: 'limit',
  max_tokens_exceeded: 'limit',
  insufficient_credits: 'limit',
  no_tool_call: 'limit',
  error: 'failed',
  llm_api_error: 'failed',
  invalid_llm_response: 'failed',
  invalid_tool_call: 'failed',
  context_window_overflow_in_system_prompt: 'failed',
  cancelled: 'cancelled',
  requires_approval: 'waits'
};

/** What it means that a run stopped for `reason`; one of a later version has failed. */
export function meaning(reason: string): Meaning {
  return MEANINGS[reason] ?? 'failed';
}
