// What fills an agent's context window, part by part.

import * as React from 'react';

import type { AgentModel } from './model/agent';
import type { IContext } from './model/records';
import { Plot } from './plots';
import { partHue, partWord } from '../ui/chartwords';
import { grouped, percent } from '../ui/words';
import { LongText, PartBody, tokensWord, usePanel } from './ui';

export function ContextSection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  return (
    <PartBody part={agent.context}>
      {() => (
        <>
          {agent.context.context && <ContextView context={agent.context.context} />}
          <Plot plot={agent.plots.context} title={trans.__('Step by step')} />
        </>
      )}
    </PartBody>
  );
}

function ContextView({ context }: { context: IContext }): JSX.Element {
  const { trans } = usePanel();
  const used = context.parts.reduce((sum, part) => sum + part.tokens, 0);
  const whole = Math.max(context.window, used, 1);
  const filled = percent(used / whole);
  return (
    <>
      <p className="lk-muted lk-Small">
        {trans.__(
          '%1 of %2 tokens (%3)',
          grouped(used),
          grouped(context.window),
          filled
        )}
      </p>
      <div
        className="lk-Stack"
        role="img"
        aria-label={trans.__('The context window is filled to %1', filled)}
      >
        {context.parts.map((part, index) => (
          <div
            key={index}
            className={`lk-plot-${partHue(part.name)}`}
            style={{ width: `${(part.tokens / whole) * 100}%` }}
            title={`${partWord(part.name, trans)}: ${grouped(part.tokens)}`}
          />
        ))}
      </div>
      <ul className="lk-Legend">
        {context.parts.map((part, index) => (
          <li key={index}>
            <details>
              <summary>
                <span className={`lk-Swatch lk-plot-${partHue(part.name)}`} aria-hidden="true" />
                <span className="lk-Legend-name">
                  {partWord(part.name, trans)}
                </span>
                <span className="lk-muted lk-Small">
                  {tokensWord(part.tokens, trans)}
                </span>
              </summary>
              <div className="lk-Text" tabIndex={0} role="group" aria-label={partWord(part.name, trans)}>
                <LongText text={part.text} limit={4000} />
              </div>
            </details>
          </li>
        ))}
      </ul>
    </>
  );
}
