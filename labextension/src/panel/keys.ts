// Keys of model providers: where the kernel takes them from, and a field for one.

import type { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { h } from '../ui/dom';
import type { Trans } from '../ui/words';

/** What the kernel says of keys: names and places, never a key. */
export interface IKeys {
  places: string[];
  found: { variable: string; place: string }[];
  variables: string[];
  problems: string[];
}

export interface IGivenKey {
  variable: string;
  key: string;
}

/** The body of the dialog that takes a key. */
export class KeyForm extends Widget implements Dialog.IBodyWidget<IGivenKey> {
  constructor(keys: IKeys, trans: Trans) {
    super();
    this.addClass('lk-NewAgent');
    this._key.type = 'password';
    this._key.autocomplete = 'off';
    this._key.spellcheck = false;
    this._variable.append(...keys.variables.map(name => new Option(name)));
    this._variable.value = 'OPENAI_API_KEY';
    const found = keys.found.map(({ variable, place }) => `${variable} (${place})`);
    const places = keys.places.join(', ');
    this.node.append(
      h('p', 'lk-Hint', trans.__('Keys are taken, in this order, from: %1', places)),
      h('p', 'lk-Hint', trans.__('There is: %1', found.join(', ') || trans.__('none yet'))),
      ...keys.problems.map(line => h('p', 'lk-Problem', line)),
      h('label', '', trans.__('Variable'), this._variable),
      h('label', '', trans.__('Key'), this._key)
    );
  }

  /** What was given; the field forgets it. */
  getValue(): IGivenKey {
    const key = this._key.value.trim();
    this._key.value = '';
    return { variable: this._variable.value, key };
  }

  private _variable = h('select', 'jp-mod-styled');
  private _key = h('input', 'jp-mod-styled');
}
