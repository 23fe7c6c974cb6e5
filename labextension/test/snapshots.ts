// Snapshots as the kernel writes them.

export const ENDED = {
  version: 1,
  run_id: 'run-1',
  agent: 'ada',
  model: 'openai/scripted',
  label: '',
  state: 'ended',
  prompt: 'How warm is it in Paris?',
  items: [
    { kind: 'retrieved', passages: [{ text: 'Paris lies on the Seine.', score: 0.8 }] },
    { kind: 'reasoning', text: 'The person wants a temperature.\nI have a tool.' },
    {
      kind: 'tool_call',
      id: 'call-1',
      name: 'temperature',
      arguments: { city: 'Paris', days: 3 },
      state: 'ok',
      runs_in: 'notebook',
      seconds: 0.042,
      result: '21.5',
      display: null,
      error: null,
      traceback: null,
      output: 'looking it up\n'
    },
    {
      kind: 'memory',
      label: 'human',
      before: 'Name: Lin',
      after: 'Name: Lin\nAsks about Paris.',
      version: 2,
      call_id: 'call-2'
    },
    { kind: 'notice', level: 'warning', text: 'The archive is still being indexed.' },
    {
      kind: 'beside',
      parts: [
        { kind: 'notebook', name: 'a.ipynb', note: '2 cells', text: '' },
        { kind: 'variable', name: '@df', note: 'DataFrame, 3 rows', text: 'columns: a, b' }
      ]
    },
    { kind: 'answer', text: 'It is **21.5 °C** in Paris.' }
  ],
  footer: {
    stop_reason: 'end_turn',
    error: null,
    steps: 2,
    seconds: 1.84,
    first_token: 0.31,
    prompt_tokens: 1234,
    completion_tokens: 56,
    cached_tokens: 1000,
    reasoning_tokens: 0,
    cost: 0.00042
  }
};

/** The same run with some of its top-level fields changed. */
export function run(changes: Record<string, unknown>): Record<string, any> {
  return { ...JSON.parse(JSON.stringify(ENDED)), ...changes };
}

/** A run of one tool call. */
export function call(changes: Record<string, unknown>): Record<string, any> {
  return run({ items: [{ ...ENDED.items[2], ...changes }] });
}
