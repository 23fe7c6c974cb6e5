// The small form that runs a tool by hand: a field for each argument, the result below.

import { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { h } from '../ui/dom';
import { isRecord } from '../ui/snapshot';
import { oneLine, pretty, prettyResult, type Trans, messageOf } from '../ui/words';
import type { IToolEntry } from './roster';
import { typeWord } from './tools';

/** What came of a call. */
export interface IToolOutcome {
  readonly status: string;
  readonly text: string;
  readonly error?: string | null;
  readonly output?: string;
  readonly seconds?: number;
}

interface IField {
  readonly name: string;
  readonly node: HTMLElement;
  /** The value to send; undefined leaves the argument out. Throws with a line for people. */
  read(): unknown;
}

/** Characters of a result that are shown. */
const SHOWN = 20_000;

/** Asks for the arguments of a tool and runs it, as often as one likes. */
export class ToolForm extends Widget {
  constructor(
    tool: IToolEntry,
    run: (given: Record<string, unknown>) => Promise<IToolOutcome>,
    trans: Trans
  ) {
    super({ node: h('form', 'lk-ToolForm') });
    this._run = run;
    this._trans = trans;
    const required = new Set(tool.parameters.required ?? []);
    this._fields = Object.entries(tool.parameters.properties ?? {}).map(([name, schema]) =>
      field(name, schema, required.has(name), trans)
    );
    this._button.type = 'submit';
    this._button.textContent = trans.__('Run');
    this._said.setAttribute('role', 'status');
    this.node.append(
      ...(tool.description ? [h('p', 'lk-muted', tool.description.slice(0, 1000))] : []),
      ...this._fields.map(one => one.node),
      h('div', 'lk-ToolForm-buttons', this._button),
      this._said
    );
    this.node.addEventListener('submit', event => {
      event.preventDefault();
      void this.run();
    });
    // A dialog takes Enter for its button; in this form it runs the tool or makes a new line.
    this.node.addEventListener('keydown', event => {
      if (event.key === 'Enter') {
        event.stopPropagation();
      }
    });
  }

  /** Run the tool with what stands in the fields, and show what came of it. */
  async run(): Promise<void> {
    const given: Record<string, unknown> = {};
    try {
      for (const { name, read } of this._fields) {
        const value = read();
        if (value !== undefined) {
          given[name] = value;
        }
      }
    } catch (error) {
      this._say(message(error), true);
      return;
    }
    const focused = document.activeElement;
    this._button.disabled = true;
    this._say(this._trans.__('Running …'), false);
    try {
      const outcome = await this._run(given);
      const failed = outcome.status !== 'ok';
      const text = failed ? outcome.error || outcome.text : prettyResult(outcome.text);
      this._say([outcome.output, text].filter(Boolean).join('\n'), failed);
    } catch (error) {
      this._say(message(error), true);
    } finally {
      this._button.disabled = false;
      if (focused === this._button && document.activeElement?.contains(this.node)) {
        this._button.focus(); // a disabled button gives the focus away
      }
    }
  }

  private _say(text: string, failed: boolean): void {
    const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
    const result = h('pre', 'lk-ToolForm-result', shown || this._trans.__('(nothing)'));
    result.tabIndex = 0;
    result.classList.toggle('lk-mod-error', failed);
    this._said.replaceChildren(result);
  }

  private _run: (given: Record<string, unknown>) => Promise<IToolOutcome>;
  private _trans: Trans;
  private _fields: IField[];
  private _button = h('button', 'jp-mod-styled jp-mod-accept');
  private _said = h('div', 'lk-ToolForm-said');
}

/** Show the form in a dialog; resolves when it is closed. */
export async function showToolForm(
  tool: IToolEntry,
  run: (given: Record<string, unknown>) => Promise<IToolOutcome>,
  trans: Trans
): Promise<void> {
  const dialog = new Dialog({
    title: trans.__('Run %1', oneLine(tool.name, 80)),
    body: new ToolForm(tool, run, trans),
    buttons: [Dialog.cancelButton({ label: trans.__('Close') })],
    focusNodeSelector: '.lk-ToolForm input, .lk-ToolForm textarea, .lk-ToolForm button'
  });
  dialog.addClass('lk-ToolDialog');
  await dialog.launch();
}

function field(name: string, schema: unknown, required: boolean, trans: Trans): IField {
  const described = isRecord(schema) ? schema : {};
  const type = typeWord(schema);
  const input = control(described);
  const fallback = described.default;
  if (fallback !== undefined && fallback !== null) {
    fill(input, fallback);
  }
  if (!(input instanceof HTMLInputElement && input.type === 'checkbox')) {
    input.required = required && described.type !== 'string';
  }
  const label = h(
    'label',
    'lk-ToolForm-field',
    h(
      'span',
      '',
      h('code', '', oneLine(name, 80)),
      h('span', 'lk-muted', ` ${type}${required ? '' : ` ${trans.__('(optional)')}`}`)
    ),
    input
  );
  if (typeof described.description === 'string') {
    input.title = oneLine(described.description, 300);
    label.append(h('span', 'lk-muted lk-small', oneLine(described.description, 300)));
  }
  return { name, node: label, read: () => read(name, described, input, required, trans) };
}

type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

function control(schema: Record<string, unknown>): Control {
  if (Array.isArray(schema.enum)) {
    const choices = schema.enum.map(value => {
      const option = h('option', '', typeof value === 'string' ? value : JSON.stringify(value));
      option.value = JSON.stringify(value);
      return option;
    });
    return h('select', 'jp-mod-styled', h('option', '', ''), ...choices);
  }
  if (schema.type === 'boolean') {
    const box = h('input', '');
    box.type = 'checkbox';
    return box;
  }
  if (schema.type === 'integer' || schema.type === 'number') {
    const number = h('input', 'jp-mod-styled');
    number.type = 'number';
    number.step = schema.type === 'integer' ? '1' : 'any';
    return number;
  }
  const area = h('textarea', 'jp-mod-styled');
  area.rows = schema.type === 'string' ? 1 : 2;
  area.spellcheck = false;
  return area;
}

function fill(input: Control, value: unknown): void {
  if (input instanceof HTMLSelectElement) {
    input.value = JSON.stringify(value);
  } else if (input instanceof HTMLInputElement && input.type === 'checkbox') {
    input.checked = value === true;
  } else {
    input.value = pretty(value);
  }
}

function read(
  name: string,
  schema: Record<string, unknown>,
  input: Control,
  required: boolean,
  trans: Trans
): unknown {
  if (input instanceof HTMLSelectElement) {
    return input.value === '' ? undefined : JSON.parse(input.value);
  }
  if (input instanceof HTMLInputElement) {
    if (input.type === 'checkbox') {
      return input.checked;
    }
    return input.value === '' ? undefined : Number(input.value);
  }
  if (schema.type === 'string') {
    return input.value === '' && !required ? undefined : input.value;
  }
  if (input.value.trim() === '') {
    return undefined;
  }
  try {
    return JSON.parse(input.value);
  } catch {
    const types = Array.isArray(schema.anyOf) ? schema.anyOf : [schema];
    if (types.some(one => isRecord(one) && (one.type === 'string' || one.type === undefined))) {
      return input.value; // plain text is fine where a string is allowed
    }
    throw new Error(trans.__('%1 has to be JSON, such as ["a", 1] or {"a": 1}.', name));
  }
}

function message(error: unknown): string {
  return oneLine(messageOf(error), 1000);
}
