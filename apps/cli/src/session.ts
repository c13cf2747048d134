import type { Instant } from '@rekey/domain';
import type { Command } from 'commander';
import { once } from 'node:events';
import type { z } from 'zod';
import { Client, type Answer, type Call } from './client';
import { settingsOf, type Environment, type Flags, type Settings } from './config';
import { EXIT, Failure, usage } from './failure';
import { Paper } from './output';

/** What a process gives the command line. */
export interface Io {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Environment;
  /** Of this program. */
  readonly version: string;
  readonly now: () => Instant;
}

/** What every command takes. */
export interface GlobalOptions extends Flags {
  readonly json?: boolean;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** What every write takes. */
export interface WriteOptions {
  readonly idempotencyKey?: string;
  readonly ifMatch?: string;
}

export interface PageOptions {
  readonly after?: string;
  readonly limit?: number;
  readonly all?: boolean;
}

/** One invocation: its settings, its connection, and the ways to show what came of it. */
export class Session {
  readonly paper: Paper;
  private connection: Client | undefined;
  private known: Settings | undefined;

  constructor(
    readonly io: Io,
    private readonly options: GlobalOptions & WriteOptions,
  ) {
    this.paper = new Paper(io.stdout.isTTY && io.environment.colour);
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

  /** The domain that is meant: the option, else `REKEY_DOMAIN`, else the settings file. */
  domain({ domain = this.settings.domain }: { readonly domain?: string | undefined }): string {
    if (domain !== undefined) return domain;
    throw usage('Which domain? Name it by --domain, or once for all by REKEY_DOMAIN.');
  }

  /** Writes to standard output, waiting for a reader that is slow. */
  async out(text: string | Uint8Array): Promise<void> {
    if (!this.io.stdout.write(text)) await once(this.io.stdout, 'drain');
  }

  async line(text: string): Promise<void> {
    await this.out(`${text}\n`);
  }

  /** Tells people something beside the result. */
  note(text: string): void {
    this.io.stderr.write(`${text}\n`);
  }

  /** Shows an answer: its body as it came for scripts, in words for people. */
  async show<T>(answer: Answer, schema: z.ZodType<T>, words: (body: T) => string): Promise<void> {
    if (!this.json) return this.line(words(fits(schema, answer.body)));
    if (answer.text !== '') await this.line(answer.text);
  }

  /** Shows a list: one page, or all of them where that is asked for. */
  async list<T>(call: Call, pages: PageOptions, item: z.ZodType<T>, words: (items: T[]) => string): Promise<void> {
    const raw: unknown[] = [];
    let { after } = pages;
    for (;;) {
      const limit = pages.limit ?? (pages.all ? PAGE_MAX : undefined);
      const answer = await this.client.send({ ...call, query: { ...call.query, after, limit } });
      const { items, next } = pageIn(answer.body);
      if (this.json && !pages.all) return this.line(answer.text);
      raw.push(...items);
      // A page can be empty where the server has looked through much and found nothing yet.
      if (next === undefined || (!pages.all && raw.length > 0)) {
        if (this.json) return this.line(JSON.stringify({ items: raw }));
        await this.line(raw.length > 0 ? words(raw.map((each) => fits(item, each))) : 'None.');
        if (next !== undefined) this.note(`There are more: --after ${next}, or --all.`);
        return;
      }
      after = next;
    }
  }
}

const PAGE_MAX = 200;
const TIMEOUT_MS = 30_000;

/** Holds what the server said against what is needed of it. Throws `Failure` where it does not fit. */
export const fits = <T>(schema: z.ZodType<T>, body: unknown): T => {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') || 'all of it';
  throw new Failure(
    EXIT.refused,
    `The server's answer is not what this version of rekey expects (${field}). --json shows it as it came.`,
  );
};

/** A page of a list, as far as it must be known to show it and to ask for the next. */
export const pageIn = (body: unknown): { readonly items: unknown[]; readonly next: string | undefined } => {
  const { items, next } = (body ?? {}) as { items?: unknown; next?: unknown };
  if (Array.isArray(items)) return { items: items as unknown[], next: typeof next === 'string' ? next : undefined };
  throw new Failure(EXIT.refused, `The server's answer is not a list.`);
};

/** What a command does with its options and its arguments. */
export type Run<Options, Argument> = (
  session: Session,
  options: Options & GlobalOptions,
  argument: Argument,
  second: string,
) => Promise<void>;

/** Other forms of an answer than its body. */
const FORMS = ['valueOnly', 'csv', 'ndjson'];

/** Makes a function of ours the action of a command. */
export const action =
  <Options = object, Argument = string>(io: Io, run: Run<Options, Argument>) =>
  async (...given: unknown[]): Promise<void> => {
    const command = given.at(-1) as Command;
    const options = command.optsWithGlobals<Options & GlobalOptions & WriteOptions>();
    const other = FORMS.find((form) => command.getOptionValue(form) === true);
    if (options.json && other !== undefined)
      throw usage('--json and the other form that was asked for exclude each other.');
    const [first, second] = command.processedArgs as [Argument, string];
    await run(new Session(io, options), options, first, second);
  };
