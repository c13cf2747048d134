import type { Instant } from '../expiry-policy';
import type { SecurityDomainState } from '../security-domain';
import type { Verifier } from './events';

/** A command to an application. */
export interface CommandOf<Type extends string, Data extends object> {
  readonly type: Type;
  readonly data: Readonly<Data & { applicationId: string; domainId: string }>;
}

/** The data of one type of command in a union of commands. */
export type DataOf<Command extends CommandOf<string, object>, Type extends Command['type']> = Extract<
  Command,
  { type: Type }
>['data'];

/** The input of a decision besides the command and the state. */
export interface ApplicationContext {
  readonly now: Instant;
  readonly domain: SecurityDomainState;
  /** The configured `applications.secretsMax`. */
  readonly secretsMax: number;
  /** Verifier of the value generated for this command; required for a command that creates a value. */
  readonly verifier?: Verifier | undefined;
  /** `If-Match`: the resource revision that the caller last read. */
  readonly ifMatch?: number | undefined;
}
