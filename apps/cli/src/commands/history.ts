import { historyEventAnswer, verifyAnswer } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import { createReadStream } from 'node:fs';
import type { z } from 'zod';
import { path, type Call } from '../client';
import { EXIT, Failure, usage } from '../failure';
import { instantOrAgo } from '../input';
import { applicationIn, ofApplication, paged, type ApplicationOptions } from '../options';
import { counted, type Paper } from '../output';
import { action, fits, type Io, type PageOptions, type Session } from '../session';

type HistoryEvent = z.infer<typeof historyEventAnswer>;

interface HistoryOptions extends ApplicationOptions, PageOptions {
  readonly stream?: string;
  readonly type?: string;
  readonly actor?: string;
  readonly from?: string;
  readonly until?: string;
  readonly ndjson?: boolean;
}

interface VerifyOptions {
  readonly stream?: string;
  readonly file?: string;
  readonly partial?: boolean;
}

const NDJSON = 'application/x-ndjson';

export const addHistoryCommands = (program: Command, io: Io): void => {
  const ago = (text: string): string => instantOrAgo(text, io.now());

  paged(ofApplication(program.command('history')))
    .description(
      'show what happened, and who did it: to everything, with --client-id or --app to one application, with ' +
        '--domain alone to the domain itself',
    )
    .option('--stream <name>', 'only of this stream, application-<id> or domain-<id>')
    .option('--type <event>', 'only events of this type, for example SecretRenewed')
    .option('--actor <name>', 'only what this caller did')
    .option('--from <when>', 'from an instant on, or from so long ago: 7d', ago)
    .option('--until <when>', 'before an instant, or before so long ago', ago)
    .addOption(
      new Option('--ndjson', 'all of it, one JSON document a line; rekey verify --file reads it').conflicts([
        'limit',
        'after',
        'all',
      ]),
    )
    .action(action<HistoryOptions>(io, history));

  program
    .command('verify')
    .description('walk the hash chains of the history, at the server or in an export; exit code 6 where one is broken')
    .option('--stream <name>', 'only this stream')
    .addOption(
      new Option('--partial', 'the export was made with --from: take its first events as they are').conflicts('stream'),
    )
    .addOption(
      new Option(
        '--file <export>',
        'an export of `history --ndjson`, - for standard input; without the server',
      ).conflicts('stream'),
    )
    .action(action<VerifyOptions>(io, verify));
};

const history = async (session: Session, options: HistoryOptions): Promise<void> => {
  const call = historyCall(session, options);
  if (!options.ndjson)
    return session.list(call, options, historyEventAnswer, (items) => table(session.paper, items, ofOne(options)));
  const { chunks } = await session.client.stream({ ...call, accept: NDJSON });
  for await (const chunk of chunks) await session.out(chunk);
};

/** Whether it is the history of one application, so that its stream need not be named in each line. */
const ofOne = ({ app, clientId }: HistoryOptions): boolean => app !== undefined || clientId !== undefined;

const historyCall = (session: Session, options: HistoryOptions): Call => {
  const { type, actor, from, until, domain } = options;
  const query = { type, actor, from, until };
  if (!ofOne(options)) {
    const stream = options.stream ?? (domain === undefined ? undefined : `domain-${domain}`);
    return { method: 'GET', path: '/api/v1/history', query: { ...query, stream } };
  }
  if (options.stream !== undefined) throw usage('Name a stream or an application, not both.');
  const { domain: owner, application } = applicationIn(session, options);
  return { method: 'GET', path: path`/api/v1/domains/${owner}/applications/${application}/history`, query };
};

/** What a reader of a history looks for first; the rest is for `--json`. */
const table = (paper: Paper, events: HistoryEvent[], narrow: boolean): string => {
  const descriptions = new Map<unknown, unknown>();
  return paper.table(
    ['AT', 'EVENT', ...(narrow ? [] : ['STREAM', 'REVISION']), 'BY', 'ABOUT'],
    events.map(({ metadata, type, stream, revision, data }) => {
      const { secretId, description } = data;
      if (description !== undefined) descriptions.set(secretId, description);
      // By its id where it was described before the first of these events.
      const secret = description === undefined ? (descriptions.get(secretId) ?? secretId) : undefined;
      return [
        text(metadata['occurredAt']),
        type,
        ...(narrow ? [] : [stream, String(revision)]),
        actorOf(metadata),
        about({ ...data, secret }),
      ];
    }),
  );
};

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

const actorOf = (metadata: HistoryEvent['metadata']): string | undefined =>
  text((metadata['actor'] as { id?: unknown } | undefined)?.id);

const TOLD = [
  'secret',
  'name',
  'clientId',
  'description',
  'policy',
  'allowedCidrs',
  'notBefore',
  'contacts',
  'version',
  'expiresAt',
  'previousValidUntil',
  'reason',
  'threshold',
  'channel',
];

const about = (data: Readonly<Record<string, unknown>>): string =>
  TOLD.filter((name) => data[name] !== undefined && data[name] !== null)
    .map((name) => `${name}=${isWord(data[name]) ? String(data[name]) : JSON.stringify(data[name])}`)
    .join(' ');

const isWord = (value: unknown): boolean => typeof value !== 'object' && /^[^\s"=]+$/.test(String(value));

const verify = async (session: Session, options: VerifyOptions): Promise<void> => {
  if (options.file !== undefined) return verifyFile(session, options.file, options.partial ?? false);
  const body = options.stream === undefined ? {} : { stream: options.stream };
  const answer = await session.client.send({ method: 'POST', path: '/api/v1/history/verify', body });
  await session.show(answer, verifyAnswer, (found) => verdict(session.paper, found));
  conclude(fits(verifyAnswer, answer.body));
};

/** Needs neither server nor token: whoever has an export can verify it. */
const verifyFile = async (session: Session, file: string, partial: boolean): Promise<void> => {
  const { verifyExport } = await import('@rekey/audit');
  const input = file === '-' ? session.io.stdin : createReadStream(file);
  const found = await verifyExport(linesOf(input), { partial }).catch((error: unknown) => {
    const { syscall, code } = error as NodeJS.ErrnoException;
    throw syscall === undefined ? error : usage(`The file ${file} cannot be read (${code ?? 'unknown cause'}).`);
  });
  const shown: Verified = { ...found, broken: [...found.broken] };
  await session.line(session.json ? JSON.stringify(found) : verdict(session.paper, shown));
  conclude(shown);
};

/** Lines end with a line feed alone: other characters that some take for a line's end may stand in JSON text. */
const linesOf = async function* (input: AsyncIterable<Buffer | string>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of input) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  yield rest;
};

type Verified = z.infer<typeof verifyAnswer>;

const verdict = (paper: Paper, { streams, events, broken }: Verified): string => {
  const walked = `${counted(events, 'event')} in ${counted(streams, 'stream')}`;
  if (broken.length === 0) return `Nothing was altered, moved or taken out: ${walked}.`;
  const rows = broken.map((link) => [link.stream, String(link.revision), link.eventId, link.cause]);
  return `${walked}, and these are not as they were written:\n\n${paper.table(['STREAM', 'REVISION', 'EVENT', 'CAUSE'], rows)}`;
};

const conclude = ({ broken }: Verified): void => {
  if (broken.length > 0) throw new Failure(EXIT.broken, 'The history is broken.');
};
