import type { Provider } from '@nestjs/common';

/** Injection token of `T`: its class, concrete or abstract. */
export interface Token<T> {
  readonly name: string;
  readonly prototype: T;
}

type Instances<Tokens extends readonly Token<unknown>[]> = {
  [Index in keyof Tokens]: Tokens[Index] extends Token<infer T> ? T : never;
};

/** Returns a Nest provider of `provide` whose factory receives the instances of `inject`, type-checked. */
export const provider = <T, Tokens extends readonly Token<unknown>[]>(
  provide: Token<T>,
  inject: readonly [...Tokens],
  useFactory: (...instances: Instances<Tokens>) => T | Promise<T>,
): Provider => ({ provide, inject: [...inject], useFactory }) as unknown as Provider;
