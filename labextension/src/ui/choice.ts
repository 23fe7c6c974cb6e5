// What a person decides about a call that waits.

/** For what a decision holds beside its call. */
export type Scope = '' | 'run' | 'notebook' | 'agent';

/** A person's decision about one call; `arguments` replaces the model's if they edited them. */
export interface IChoice {
  approve: boolean;
  reason?: string;
  arguments?: Record<string, unknown>;
  scope?: Scope;
}
