import type { Instant } from '@rekey/domain';
import type { Command } from 'commander';
import { once } from 'node:events';
import type { z } from 'zod';
import { Client, type Answer, type Call } from './client';
import { settingsOf, type Environment, type Flags, type Settings } from './config';
import { EXIT, Failure, usage } from './failure';
import { Formatter } from './output';

/** Streams, environment and clock of the process. */
export interface Io {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Environment;
  /** Version of the CLI. */
  readonly version: string;
  readonly now: () => Instant;
}

/** Options of every command. */
export interface GlobalOptions extends Flags {
  readonly json?: boolean;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** Options of every write. */
export interface WriteOptions {
  readonly idempotencyKey?: string;
  readonly ifMatch?: string;
}

export interface PageOptions {
  readonly after?: string;
  readonly limit?: number;
  readonly all?: boolean;
}

/** One invocation of the CLI: settings, connection and output. */
export class Session {
  readonly formatter: Formatter;
  private connection: Client | undefined;
  private known: Settings | undefined;

  constructor(
    readonly io: Io,
    private readonly options: GlobalOptions & WriteOptions,
  ) {
    this.formatter = new Formatter(io.stdout.isTTY && io.environment.colour);
  }

  get json(): boolean {
    return this.options.json === true;
  }

  get settings(): Settings {
    return (this.known ??= settingsOf(this.options, this.io.environment));
  }

  get client(): Client {
    const { timeout: timeoutMs = TIMEOUT_MS, idempotencyKey, ifMatch } = this.options;
    const { version } = this.io;
    const { url, token } = this.settings;
    return (this.connection ??= new Client({ url, token, timeoutMs, idempotencyKey, ifMatch, version }));
  }

  /** Returns the domain of the option, `REKEY_DOMAIN` or the settings file. Throws a usage `Failure` if none is set. */
  domain({ domain = this.settings.domain }: { readonly domain?: string | undefined }): string {
    if (domain !== undefined) return domain;
    throw usage('Missing domain: pass --domain or set REKEY_DOMAIN.');
  }

  /** Writes to standard output. Waits while a slow reader holds the pipe back. */
  async out(text: string | Uint8Array): Promise<void> {
    if (!this.io.stdout.write(text)) await once(this.io.stdout, 'drain');
  }

  async line(text: string): Promise<void> {
    await this.out(`${text}\n`);
  }

  /** Writes a message to standard error. */
  note(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }

  /** Prints an answer: formatted by `format`, or with `--json` its body unchanged. */
  async show<T>(answer: Answer, schema: z.ZodType<T>, format: (body: T) => string): Promise<void> {
    if (!this.json) return this.line(format(parseBody(schema, answer.body)));
    if (answer.text !== '') await this.line(answer.text);
  }

  /** Prints a list: one page, or every page with `--all`. */
  async list<T>(call: Call, pages: PageOptions, item: z.ZodType<T>, format: (items: T[]) => string): Promise<void> {
    const raw: unknown[] = [];
    let { after } = pages;
    for (;;) {
      const limit = pages.limit ?? (pages.all ? PAGE_MAX : undefined);
      const answer = await this.client.send({ ...call, query: { ...call.query, after, limit } });
      const { items, next } = parsePage(answer.body);
      if (this.json && !pages.all) return this.line(answer.text);
      raw.push(...items);
      // A page can be empty while more follow: the server limits how much it searches per request.
      if (next === undefined || (!pages.all && raw.length > 0)) {
        if (this.json) return this.line(JSON.stringify({ items: raw }));
        await this.line(raw.length > 0 ? format(raw.map((each) => parseBody(item, each))) : 'None.');
        if (next !== undefined) this.note(`More items: pass --after ${next} or --all.`);
        return;
      }
      after = next;
    }
  }
}

const PAGE_MAX = 200;
const TIMEOUT_MS = 30_000;

/** Returns the body of an answer, validated. Throws `Failure` if it does not match the schema. */
export const parseBody = <T>(schema: z.ZodType<T>, body: unknown): T => {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') || 'body';
  throw new Failure(
    EXIT.refused,
    `Unexpected answer from the server (${field}): it may run another version. --json prints the raw answer.`,
  );
};

/** Returns the items of a page and the cursor of the next one. Throws `Failure` if the body is not a page. */
export const parsePage = (body: unknown): { readonly items: unknown[]; readonly next: string | undefined } => {
  const { items, next } = (body ?? {}) as { items?: unknown; next?: unknown };
  if (Array.isArray(items)) return { items: items as unknown[], next: typeof next === 'string' ? next : undefined };
  throw new Failure(EXIT.refused, 'Unexpected answer from the server: not a list.');
};

/** Implementation of a command. */
export type Run<Options, Argument> = (
  session: Session,
  options: Options & GlobalOptions,
  argument: Argument,
  second: string,
) => Promise<void>;

/** Options that choose another output format than `--json`. */
const OTHER_FORMATS = Object.entries({ valueOnly: '--value-only', csv: '--csv', ndjson: '--ndjson' });

/** Adapts an implementation to commander's action. */
export const action =
  <Options = object, Argument = string>(io: Io, run: Run<Options, Argument>) =>
  async (...given: unknown[]): Promise<void> => {
    const command = given.at(-1) as Command;
    const options = command.optsWithGlobals<Options & GlobalOptions & WriteOptions>();
    const [, other] = OTHER_FORMATS.find(([name]) => command.getOptionValue(name) === true) ?? [];
    if (options.json && other !== undefined) throw usage(`--json cannot be combined with ${other}.`);
    const [first, second] = command.processedArgs as [Argument, string];
    await run(new Session(io, options), options, first, second);
  };
