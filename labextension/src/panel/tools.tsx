// An agent's tools: where each runs and was written, how its calls went, and running one by hand.

import { deleteIcon, launchIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { duration, prettyResult } from '../ui/words';
import { fieldsOf, fill, type IField } from './model/form';
import type { AgentModel } from './model/agent';
import { messageOf } from './model/part';
import type { ToolsModel } from './model/parts';
import type { IOutcome, ITool } from './model/records';
import { Hint, IconButton, LongText, PartBody, Problem, TextButton, usePanel } from './ui';

export function ToolsSection({ agent }: { agent: AgentModel }): JSX.Element {
  const { trans } = usePanel();
  const { tools } = agent;
  const draw = (tool: ITool) => <ToolView key={tool.id} tool={tool} tools={tools} />;
  return (
    <PartBody part={tools}>
      {() => {
        const builtIn = tools.tools.filter(({ place }) => place === 'core');
        const own = tools.tools.filter(tool => !builtIn.includes(tool));
        return (
          <>
            {own.map(draw)}
            {!own.length && (
              <Hint>{trans.__('A cell that defines a function makes a tool of it.')}</Hint>
            )}
            {builtIn.length > 0 && (
              <Fold title={trans.__('Built in (%1)', builtIn.length)}>
                <div className="lk-List">{builtIn.map(draw)}</div>
              </Fold>
            )}
          </>
        );
      }}
    </PartBody>
  );
}

interface IToolProps {
  tool: ITool;
  tools: ToolsModel;
}

function ToolView({ tool, tools }: IToolProps): JSX.Element {
  const { trans, actions } = usePanel();
  const places: Record<string, string> = {
    core: trans.__('built in'),
    notebook: trans.__('notebook'),
    sandbox: trans.__('own process'),
    mcp: trans.__('MCP server')
  };
  const remove = async () => {
    const sure = await actions.confirm(
      trans.__('Remove %1?', tool.name),
      trans.__('The agent can no longer call this tool.'),
      trans.__('Remove')
    );
    if (sure) {
      await tools.detach(tool.name);
    }
  };
  return (
    <article className="lk-Card" aria-label={trans.__('Tool %1', tool.name)}>
      <header className="lk-Row">
        <h5 className="lk-Card-title lk-Code">{tool.name}</h5>
        <span className="lk-Spring" />
        {tool.cell_id && (
          <IconButton
            icon={launchIcon}
            label={trans.__('Show the cell of %1', tool.name)}
            onClick={() => void actions.showCell(tool)}
          />
        )}
        {tool.place !== 'core' && (
          <IconButton
            icon={deleteIcon}
            label={trans.__('Remove %1', tool.name)}
            onClick={() => void remove()}
          />
        )}
      </header>
      <p className="lk-muted lk-Small">
        <span className="lk-Tag">{places[tool.place] ?? tool.place}</span>{' '}
        {tool.requires_approval && <span className="lk-Tag">{trans.__('asks first')}</span>}{' '}
        {tool.calls ? trans._n('%1 call', '%1 calls', tool.calls) : trans.__('never called')}
        {tool.failures > 0 && ` · ${trans._n('%1 failed', '%1 failed', tool.failures)}`}
        {tool.calls > 0 && ` · ${duration(tool.seconds / tool.calls)}`}
      </p>
      {tool.description && <LongText text={tool.description} limit={160} />}
      {tool.last_error && (
        <p className="lk-Error lk-Small" dir="auto">
          {trans.__('Last error: %1', tool.last_error)}
        </p>
      )}
      <Fold title={trans.__('Schema')}>
        <pre className="lk-Text" dir="ltr" tabIndex={0}>
          {JSON.stringify(tool.parameters, null, 2)}
        </pre>
      </Fold>
      {tool.source && (
        <Fold title={trans.__('Source')}>
          <pre className="lk-Text" dir="ltr" tabIndex={0}>
            {tool.source}
          </pre>
        </Fold>
      )}
      <Fold title={trans.__('Run by hand')}>
        <RunForm tool={tool} tools={tools} />
      </Fold>
    </article>
  );
}

/** What is drawn only once it is opened. */
function Fold({ title, children }: { title: string; children: React.ReactNode }): JSX.Element {
  const [open, setOpen] = React.useState(false);
  return (
    <details className="lk-Fold" onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {open && children}
    </details>
  );
}

function RunForm({ tool, tools }: IToolProps): JSX.Element {
  const { trans } = usePanel();
  const fields = React.useMemo(() => fieldsOf(tool.parameters), [tool.parameters]);
  const [values, setValues] = React.useState<Record<string, string>>({});
  const [running, setRunning] = React.useState(false);
  const [wrong, setWrong] = React.useState<string[]>([]);
  const [outcome, setOutcome] = React.useState<IOutcome | null>(null);
  const [error, setError] = React.useState('');
  const run = async () => {
    const filled = fill(fields, values);
    setWrong(filled.wrong);
    setError('');
    if (filled.wrong.length) {
      return;
    }
    setRunning(true);
    setOutcome(null);
    try {
      setOutcome(await tools.run(tool.name, filled.arguments));
    } catch (reason) {
      setError(messageOf(reason));
    }
    setRunning(false);
  };
  return (
    <form
      className="lk-Form"
      aria-label={trans.__('Run %1', tool.name)}
      noValidate
      onSubmit={event => {
        event.preventDefault();
        void run();
      }}
    >
      {fields.map(field => (
        <FieldView
          key={field.name}
          field={field}
          value={values[field.name] ?? field.initial}
          wrong={wrong.includes(field.name)}
          onChange={value => setValues({ ...values, [field.name]: value })}
        />
      ))}
      <div className="lk-Row">
        <button
          type="submit"
          className="jp-mod-styled jp-mod-accept lk-TextButton"
          disabled={running}
        >
          {running ? trans.__('Running…') : trans.__('Run')}
        </button>
        {outcome && <TextButton onClick={() => setOutcome(null)}>{trans.__('Clear')}</TextButton>}
      </div>
      <Problem text={error} onDismiss={() => setError('')} />
      <div role="status">{outcome && <OutcomeView outcome={outcome} />}</div>
    </form>
  );
}

interface IFieldProps {
  field: IField;
  value: string;
  wrong: boolean;
  onChange: (value: string) => void;
}

function FieldView({ field, value, wrong, onChange }: IFieldProps): JSX.Element {
  const { trans } = usePanel();
  const common = {
    className: 'jp-mod-styled lk-Input',
    'aria-invalid': wrong,
    'aria-required': field.required,
    title: field.description
  };
  const name = field.required ? field.name : trans.__('%1 (optional)', field.name);
  if (field.kind === 'switch' || field.kind === 'choice') {
    const options =
      field.kind === 'switch'
        ? [
            ['true', 'True'],
            ['false', 'False']
          ]
        : field.choices.map((choice, index) => [String(index), String(choice)]);
    return (
      <label>
        {name}
        <select {...common} value={value} onChange={event => onChange(event.target.value)}>
          <option value="">—</option>
          {options.map(([key, text]) => (
            <option key={key} value={key}>
              {text}
            </option>
          ))}
        </select>
        <Wrong field={field} wrong={wrong} />
      </label>
    );
  }
  return (
    <label>
      {name}
      {field.kind === 'number' ? (
        <input
          {...common}
          inputMode="decimal"
          value={value}
          onChange={event => onChange(event.target.value)}
        />
      ) : (
        <textarea
          {...common}
          rows={1}
          dir="auto"
          placeholder={field.kind === 'json' ? 'JSON' : ''}
          value={value}
          onChange={event => onChange(event.target.value)}
        />
      )}
      <Wrong field={field} wrong={wrong} />
    </label>
  );
}

function Wrong({ field, wrong }: { field: IField; wrong: boolean }): JSX.Element | null {
  const { trans } = usePanel();
  if (!wrong) {
    return null;
  }
  const wanted = {
    text: trans.__('Needed.'),
    number: field.whole ? trans.__('A whole number.') : trans.__('A number.'),
    switch: trans.__('Choose one.'),
    choice: trans.__('Choose one.'),
    json: trans.__('A value in JSON.')
  };
  return (
    <span className="lk-Error lk-Small" role="alert">
      {wanted[field.kind]}
    </span>
  );
}

function OutcomeView({ outcome }: { outcome: IOutcome }): JSX.Element {
  const { trans, hosts } = usePanel();
  const shown = React.useRef<HTMLDivElement>(null);
  const [drawn, setDrawn] = React.useState(false);
  React.useEffect(() => {
    const host = shown.current;
    host?.replaceChildren();
    setDrawn(host !== null && outcome.display !== null && hosts.bundle(host, outcome.display));
  }, [hosts, outcome]);
  const words = {
    ok: trans.__('Done'),
    error: trans.__('Failed'),
    interrupted: trans.__('Interrupted'),
    denied: trans.__('Denied')
  };
  return (
    <>
      <p className={`lk-Small ${outcome.status === 'ok' ? 'lk-muted' : 'lk-Error'}`}>
        {words[outcome.status] ?? outcome.status}
        {` · ${duration(outcome.seconds)}`}
        {outcome.note && ` · ${outcome.note}`}
      </p>
      {outcome.output && (
        <pre className="lk-Text" dir="auto" tabIndex={0}>
          {outcome.output}
        </pre>
      )}
      <div ref={shown} className="lk-Display" />
      {!drawn && (
        <pre className="lk-Text" dir="auto" tabIndex={0}>
          {prettyResult(outcome.error || outcome.text)}
        </pre>
      )}
    </>
  );
}
