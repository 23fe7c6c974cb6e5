// A form for a tool's arguments, from the JSON schema of its parameters.

import { isRecord } from '../../ui/snapshot';

export interface IField {
  name: string;
  kind: 'text' | 'number' | 'switch' | 'choice' | 'json';
  required: boolean;
  description: string;
  /** What may be chosen from. */
  choices: unknown[];
  /** What it begins with: the schema's default. */
  initial: string;
  /** Whether only whole numbers do. */
  whole: boolean;
}

export interface IFilled {
  arguments: Record<string, unknown>;
  /** The names of fields that do not hold what they should. */
  wrong: string[];
}

export function fieldsOf(schema: Record<string, unknown>): IField[] {
  const properties = isRecord(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(properties).map(([name, given]) => {
    const property = isRecord(given) ? given : {};
    const type = typeOf(property);
    const choices = Array.isArray(property.enum) ? property.enum : [];
    const kind = choices.length ? 'choice' : (KINDS[type] ?? 'json');
    return {
      name,
      kind,
      required: required.includes(name),
      description: typeof property.description === 'string' ? property.description : '',
      choices,
      initial: initialOf(property.default, kind, choices),
      whole: type === 'integer'
    };
  });
}

/** Arguments from what was filled in; optional fields left empty are left out. */
export function fill(fields: IField[], values: Record<string, string>): IFilled {
  const filled: IFilled = { arguments: {}, wrong: [] };
  for (const field of fields) {
    const text = values[field.name] ?? field.initial;
    if (text === '' && !(field.required && field.kind === 'text')) {
      if (field.required) {
        filled.wrong.push(field.name);
      }
      continue;
    }
    try {
      filled.arguments[field.name] = read(field, text);
    } catch {
      filled.wrong.push(field.name);
    }
  }
  return filled;
}

function read(field: IField, text: string): unknown {
  switch (field.kind) {
    case 'text':
      return text;
    case 'switch':
      return text === 'true';
    case 'choice':
      return field.choices[Number(text)];
    case 'number': {
      const value = Number(text);
      if (!Number.isFinite(value) || (field.whole && !Number.isInteger(value))) {
        throw new RangeError(text);
      }
      return value;
    }
    case 'json':
      return JSON.parse(text);
  }
}

/** A default as the form holds it: a choice by its place, everything but text as JSON. */
function initialOf(value: unknown, kind: IField['kind'], choices: unknown[]): string {
  if (value === undefined || value === null) {
    return '';
  }
  if (kind === 'choice') {
    const place = choices.indexOf(value);
    return place < 0 ? '' : String(place);
  }
  return kind === 'text' && typeof value === 'string' ? value : JSON.stringify(value);
}

const KINDS: Record<string, IField['kind'] | undefined> = {
  string: 'text',
  integer: 'number',
  number: 'number',
  boolean: 'switch'
};

/** The one type a property has, its being optional aside; empty if there are several or none. */
function typeOf(property: Record<string, unknown>): string {
  const options = Array.isArray(property.anyOf) ? property.anyOf.filter(isRecord) : [property];
  const types = options.flatMap(option => option.type).filter(type => type !== 'null');
  return types.length === 1 ? String(types[0]) : '';
}
