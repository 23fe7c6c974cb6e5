// The runs that the kernel's picture of a run is tested on too (tests/display/test_display_recorded.py).

import { readdirSync, readFileSync } from 'fs';
import { join } from 'path';

import { readSnapshot } from '../src/ui/snapshot';
import { Transcript, type IEvent } from '../src/ui/transcript';

const RUNS = join(__dirname, '..', '..', 'tests', 'data', 'runs');

interface IRecorded {
  prompt: string;
  events: IEvent[];
  snapshot: Record<string, unknown>;
}

/** A snapshot without how long a wait took, which is measured when it is followed. */
function timeless(snapshot: unknown): unknown {
  return JSON.parse(JSON.stringify(snapshot).replace(/Waited [\d.]+ m?s/g, 'Waited'));
}

describe('a recorded run', () => {
  it.each(readdirSync(RUNS))('%s gives the same picture as in the kernel', name => {
    const { prompt, events, snapshot }: IRecorded = JSON.parse(
      readFileSync(join(RUNS, name), 'utf-8')
    );
    const transcript = new Transcript(prompt);
    events.forEach(event => transcript.handle(event));
    expect(timeless(transcript.snapshot())).toEqual(timeless(snapshot));
    expect(readSnapshot(transcript.snapshot())?.items).toHaveLength((snapshot.items as []).length);
  });
});

describe('a run that is followed', () => {
  function followed(...events: IEvent[]) {
    const transcript = new Transcript();
    events.forEach(event => transcript.handle(event));
    return transcript.snapshot();
  }

  it('loses what a failed call had streamed, and nothing else', () => {
    const { items } = followed(
      { type: 'step_started', number: 1 },
      { type: 'text_delta', text: 'kept' },
      { type: 'step_ended', messages: [] },
      { type: 'step_started', number: 2 },
      { type: 'text_delta', text: 'void' },
      { type: 'notice', level: 'warning', text: 'trying again' },
      { type: 'stream_reset' },
      { type: 'text_delta', text: 'new' }
    );
    expect(items).toMatchObject([{ text: 'kept' }, { text: 'trying again' }, { text: 'new' }]);
  });

  it('takes events of later versions and without their fields', () => {
    const run = followed(
      { type: 'from_the_future' },
      { type: 'tool_returned' },
      { type: 'approval_requested', calls: 'none' },
      { type: 'step_started', retrieved: 7 },
      { type: 'step_ended' },
      { type: 'run_ended' }
    );
    expect(run.state).toBe('ended');
    expect(readSnapshot(run)?.footer.seconds).toBeNull();
  });
});
