import { historyEventAnswer, verifyAnswer } from '@rekey/contracts';
import { Option, type Command } from 'commander';
import { createReadStream } from 'node:fs';
import type { z } from 'zod';
import { path, type Call } from '../client';
import { EXIT, Failure, usage } from '../failure';
import { instantOrAgo } from '../input';
import { applicationIn, ofApplication, paged, type ApplicationOptions } from '../options';
import { counted, type Formatter } from '../output';
import { action, parseBody, type Io, type PageOptions, type Session } from '../session';

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
    .summary('Show or export the event history.')
    .description(
      'Show the event history: of everything, of an application (--client-id or --app), or of a domain without its ' +
        'applications (--domain).',
    )
    .option('--stream <name>', 'Only this stream: application-<id> or domain-<id>.')
    .option('--type <event>', 'Only events of this type, e.g. SecretRenewed.')
    .option('--actor <name>', 'Only events caused by this caller.')
    .option('--from <when>', 'Only events since this time, or since this long ago, e.g. 7d.', ago)
    .option('--until <when>', 'Only events before this time, or before this long ago.', ago)
    .addOption(
      new Option(
        '--ndjson',
        'Export all events, one JSON document per line, e.g. for `rekey verify --file`.',
      ).conflicts(['limit', 'after', 'all']),
    )
    .action(action<HistoryOptions>(io, history));

  program
    .command('verify')
    .summary('Verify the hash chains of the history.')
    .description('Verify the hash chains of the history, on the server or in an export. Exit code 6: altered.')
    .option('--stream <name>', 'Only this stream.')
    .addOption(
      new Option(
        '--partial',
        'The export was made with --from: do not check what precedes its first events.',
      ).conflicts('stream'),
    )
    .addOption(
      new Option(
        '--file <export>',
        'Verify an export of `history --ndjson` without the server; - reads standard input.',
      ).conflicts('stream'),
    )
    .action(action<VerifyOptions>(io, verify));
};

const history = async (session: Session, options: HistoryOptions): Promise<void> => {
  const call = historyCall(session, options);
  if (!options.ndjson)
    return session.list(call, options, historyEventAnswer, (items) =>
      table(session.formatter, items, isOneApplication(options)),
    );
  const { chunks } = await session.client.stream({ ...call, accept: NDJSON });
  for await (const chunk of chunks) await session.out(chunk);
};

/** Whether the options select one application; its table then omits the stream columns. */
const isOneApplication = ({ app, clientId }: HistoryOptions): boolean => app !== undefined || clientId !== undefined;

const historyCall = (session: Session, options: HistoryOptions): Call => {
  const { type, actor, from, until, domain } = options;
  const query = { type, actor, from, until };
  if (!isOneApplication(options)) {
    const stream = options.stream ?? (domain === undefined ? undefined : `domain-${domain}`);
    return { method: 'GET', path: '/api/v1/history', query: { ...query, stream } };
  }
  if (options.stream !== undefined) throw usage('Pass --stream or an application, not both.');
  const { domain: owner, application } = applicationIn(session, options);
  return { method: 'GET', path: path`/api/v1/domains/${owner}/applications/${application}/history`, query };
};

const table = (formatter: Formatter, events: HistoryEvent[], narrow: boolean): string => {
  const descriptions = new Map<unknown, unknown>();
  return formatter.table(
    ['AT', 'EVENT', ...(narrow ? [] : ['STREAM', 'REVISION']), 'BY', 'ABOUT'],
    events.map(({ metadata, type, stream, revision, data }) => {
      const { secretId, description } = data;
      if (description !== undefined) descriptions.set(secretId, description);
      // By id if the event with its description is not on this page.
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

const SHOWN_FIELDS = [
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
  SHOWN_FIELDS.filter((name) => data[name] !== undefined && data[name] !== null)
    .map((name) => `${name}=${isWord(data[name]) ? String(data[name]) : JSON.stringify(data[name])}`)
    .join(' ');

const isWord = (value: unknown): boolean => typeof value !== 'object' && /^[^\s"=]+$/.test(String(value));

const verify = async (session: Session, options: VerifyOptions): Promise<void> => {
  if (options.file !== undefined) return verifyFile(session, options.file, options.partial ?? false);
  const body = options.stream === undefined ? {} : { stream: options.stream };
  const answer = await session.client.send({ method: 'POST', path: '/api/v1/history/verify', body });
  await session.show(answer, verifyAnswer, (found) => verdict(session.formatter, found));
  conclude(parseBody(verifyAnswer, answer.body));
};

/** Verifies an export. Needs no server and no token. */
const verifyFile = async (session: Session, file: string, partial: boolean): Promise<void> => {
  const { verifyExport } = await import('@rekey/audit');
  const input = file === '-' ? session.io.stdin : createReadStream(file);
  const found = await verifyExport(linesOf(input), { partial }).catch((error: unknown) => {
    const { syscall, code } = error as NodeJS.ErrnoException;
    throw syscall === undefined ? error : usage(`Cannot read ${file} (${code ?? 'unknown cause'}).`);
  });
  const shown: Verified = { ...found, broken: [...found.broken] };
  await session.line(session.json ? JSON.stringify(found) : verdict(session.formatter, shown));
  conclude(shown);
};

/** Splits at line feeds only: `readline` also splits at U+2028 and U+2029, which may occur in JSON text. */
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

const verdict = (formatter: Formatter, { streams, events, broken }: Verified): string => {
  const checked = `${counted(events, 'event')} in ${counted(streams, 'stream')}`;
  if (broken.length === 0) return `The history is intact: checked ${checked}.`;
  const rows = broken.map((link) => [link.stream, String(link.revision), link.eventId, link.cause]);
  return `Checked ${checked}. These events were altered, moved or removed:\n\n${formatter.table(['STREAM', 'REVISION', 'EVENT', 'CAUSE'], rows)}`;
};

const conclude = ({ broken }: Verified): void => {
  if (broken.length > 0) throw new Failure(EXIT.broken, 'The history was altered.');
};
