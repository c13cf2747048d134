import type { Provider } from '@nestjs/common';

/** Something of which Nest holds one: a class stands for its instance. */
export interface Token<T> {
  readonly name: string;
  readonly prototype: T;
}

type Parts<Tokens extends readonly Token<unknown>[]> = {
  [Index in keyof Tokens]: Tokens[Index] extends Token<infer T> ? T : never;
};

/** A part of a process and what it is made of. */
export const part = <T, Tokens extends readonly Token<unknown>[]>(
  provide: Token<T>,
  inject: readonly [...Tokens],
  useFactory: (...parts: Parts<Tokens>) => T | Promise<T>,
): Provider => ({ provide, inject: [...inject], useFactory }) as unknown as Provider;
