// The form for a new agent.

import type { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { h } from '../ui/dom';
import type { Trans } from '../ui/words';

export interface INewAgent {
  name: string;
  model?: string;
  persona?: string;
  human?: string;
}

/** The body of the dialog that makes an agent. */
export class NewAgent extends Widget implements Dialog.IBodyWidget<INewAgent> {
  constructor(models: string[], trans: Trans) {
    super();
    this.addClass('lk-NewAgent');
    this._name.required = true;
    this._model.placeholder = trans.__('whichever is there');
    this._persona.placeholder = trans.__('You are a patient tutor of statistics…');
    this._human.placeholder = trans.__('Their name is Lin. They like short answers…');
    const known = h('datalist', '');
    known.id = `lk-models-${Math.random().toString(36).slice(2)}`;
    known.append(...models.map(name => new Option(name)));
    this._model.setAttribute('list', known.id);
    this.node.append(
      h('label', '', trans.__('Name'), this._name),
      h('label', '', trans.__('Model (optional)'), this._model),
      known,
      h('label', '', trans.__('Who it is (optional)'), this._persona),
      h('label', '', trans.__('Who you are (optional)'), this._human)
    );
  }

  getValue(): INewAgent {
    const optional = {
      model: this._model.value.trim(),
      persona: this._persona.value.trim(),
      human: this._human.value.trim()
    };
    const given = Object.entries(optional).filter(([, value]) => value);
    return { name: this._name.value.trim(), ...Object.fromEntries(given) };
  }

  private _name = field('input');
  private _model = field('input');
  private _persona = field('textarea');
  private _human = field('textarea');
}

function field<K extends 'input' | 'textarea'>(tag: K): HTMLElementTagNameMap[K] {
  const made = h(tag, 'jp-mod-styled');
  made.dir = 'auto';
  return made;
}
