// An agent's runs: how each ended, its steps, their tokens, what it cost.

import * as React from 'react';

import type { AskPast } from '../ui/past';
import { standing } from '../ui/timeline';
import { told } from '../ui/told';
import { duration, grouped, money, type Trans } from '../ui/words';
import type { AgentModel } from './model/agent';
import type { ICost, IRun, IStep } from './model/records';
import { Plot } from './plots';
import { Drawn, Hint, Moment, PartBody, tokensWord, usePanel } from './ui';

export function RunsSection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const { runs } = agent;
  return (
    <PartBody part={runs}>
      {() => (
        <>
          {runs.today !== null && runs.today.runs > 0 && (
            <p className="lk-muted lk-Small">{costWord(runs.today, trans)}</p>
          )}
          <Plot plot={agent.plots.tokens} title={trans.__('Tokens and cost of each step')} />
          {!runs.items.length && <Hint>{trans.__('No runs yet.')}</Hint>}
          <ul className="lk-List" aria-label={trans.__('Runs, newest first')}>
            {runs.items.map(run => (
              <RunRow
                key={run.id}
                run={run}
                steps={runs.steps.get(run.id) ?? null}
                ask={agent.timeline.askPast}
                onToggle={() => void runs.toggle(run.id)}
              />
            ))}
          </ul>
          {runs.more && (
            <button type="button" className="lk-Link" onClick={() => void runs.loadOlder()}>
              {trans.__('Show older')}
            </button>
          )}
        </>
      )}
    </PartBody>
  );
}

function costWord(cost: ICost, trans: Trans): string {
  const parts = [
    trans._n('Today: %1 run', 'Today: %1 runs', cost.runs),
    tokensWord(cost.prompt_tokens + cost.completion_tokens, trans),
    cost.cost !== null && money(cost.cost)
  ];
  return parts.filter(Boolean).join(' · ');
}

interface IRunProps {
  run: IRun;
  /** Null if they are not shown. */
  steps: IStep[] | null;
  ask: AskPast;
  onToggle: () => void;
}

function RunRow({ run, steps, ask, onToggle }: IRunProps): JSX.Element {
  const { trans } = usePanel();
  const [sign, look, word] = standing(run, trans);
  const tokens = run.prompt_tokens + run.completion_tokens;
  const facts = [
    word,
    trans._n('%1 step', '%1 steps', run.steps),
    tokensWord(tokens, trans),
    run.seconds !== null && duration(run.seconds),
    run.cost !== null && money(run.cost)
  ].filter(Boolean);
  return (
    <li className="lk-Card lk-RunRow">
      <button
        type="button"
        className="lk-RunRow-head"
        aria-expanded={steps !== null}
        onClick={onToggle}
      >
        <span className={`lk-Sign lk-mod-${look}`} aria-hidden="true">
          {sign}
        </span>
        <span className="lk-RunRow-asked" dir="auto" title={run.asked || undefined}>
          {run.asked || word}
        </span>
        <Moment iso={run.created_at} />
        <span className="lk-RunRow-facts lk-muted lk-Small">{facts.join(' · ')}</span>
      </button>
      {run.error && (
        <p className="lk-Error lk-Small" dir="auto">
          {run.error}
        </p>
      )}
      {steps && <Steps steps={steps} ask={ask} />}
    </li>
  );
}

function Steps({ steps, ask }: { steps: IStep[]; ask: AskPast }): JSX.Element {
  const { trans } = usePanel();
  const [shown, setShown] = React.useState<HTMLElement | null>(null);
  if (!steps.length) {
    return <Hint>{trans.__('No step was finished.')}</Hint>;
  }
  return (
    <div className="lk-Steps">
      <TokenPlot steps={steps} />
      <table aria-label={trans.__('Steps')}>
        <thead>
          <tr>
            <th scope="col">#</th>
            <th scope="col">{trans.__('in')}</th>
            <th scope="col">{trans.__('out')}</th>
            <th scope="col">{trans.__('time')}</th>
            <th scope="col">{trans.__('cost')}</th>
            <th scope="col">{trans.__('tools')}</th>
          </tr>
        </thead>
        <tbody>
          {steps.map(step => (
            <tr key={step.id} title={step.error ?? step.model}>
              <td>
                <button
                  type="button"
                  className="lk-Link"
                  aria-label={trans.__('Explain step %1', step.number)}
                  title={trans.__('Explain step %1', step.number)}
                  onClick={() => setShown(told(ask, trans, 'explain', { at: step.id }))}
                >
                  {step.number}
                </button>
              </td>
              <td>{grouped(step.prompt_tokens)}</td>
              <td>{grouped(step.completion_tokens)}</td>
              <td>{step.seconds === null ? '–' : duration(step.seconds)}</td>
              <td>{step.cost === null ? '–' : money(step.cost)}</td>
              <td className="lk-Code">
                {step.tool_stats.map(({ name }) => name).join(', ') || '–'}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown && <Drawn node={shown} />}
    </div>
  );
}

const HEIGHT = 60;
const MOST_BARS = 60;

/** Tokens of each step: what went in, and on top of it what came out. */
function TokenPlot({ steps }: { steps: IStep[] }): JSX.Element {
  const { trans } = usePanel();
  const shown = steps.slice(-MOST_BARS);
  const totals = shown.map(step => step.prompt_tokens + step.completion_tokens);
  const most = Math.max(1, ...totals);
  const width = Math.min(28, 240 / shown.length);
  const height = (tokens: number) => (tokens / most) * HEIGHT;
  return (
    <figure className="lk-Plot">
      <svg
        viewBox={`0 0 ${width * shown.length} ${HEIGHT}`}
        height={HEIGHT}
        role="img"
        preserveAspectRatio="xMinYMax meet"
        aria-label={trans.__('Tokens of each step, at most %1', grouped(most))}
      >
        {shown.map((step, index) => {
          const into = height(step.prompt_tokens);
          const out = height(step.completion_tokens);
          const bar = { x: index * width + width * 0.1, width: width * 0.8 };
          return (
            <g key={step.id}>
              <rect {...bar} className="lk-Plot-in" y={HEIGHT - into} height={into} />
              <rect {...bar} className="lk-Plot-out" y={HEIGHT - into - out} height={out} />
              <title>{`${step.number}: ${step.prompt_tokens} + ${step.completion_tokens}`}</title>
            </g>
          );
        })}
      </svg>
      <figcaption className="lk-muted lk-Small">
        <span className="lk-Swatch lk-Plot-in" aria-hidden="true" /> {trans.__('tokens in')}{' '}
        <span className="lk-Swatch lk-Plot-out" aria-hidden="true" /> {trans.__('tokens out')}
      </figcaption>
    </figure>
  );
}
