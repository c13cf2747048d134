import { SECRET_STATUSES, secretAnswer } from '@rekey/contracts';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Call } from '../client';
import { domainId, instantOrAgo, instantOrAhead } from '../input';
import { paged } from '../options';
import { action, type Io, type PageOptions, type Session } from '../session';
import { table } from './secrets';

interface InventoryOptions extends PageOptions {
  readonly domain?: string;
  readonly status?: string;
  readonly expiresBefore?: string;
  readonly unusedSince?: string;
  readonly search?: string;
  readonly sort?: string;
  readonly csv?: boolean;
}

const SORTS = ['expiresAt', '-expiresAt', 'createdAt', '-createdAt', 'description', '-description'];

/** `rekey secret inventory`: secrets across applications, by what becomes of them. */
export const addInventoryCommand = (secret: Command, io: Io): void => {
  paged(secret.command('inventory'))
    .description('list secrets across applications and domains')
    .option('-d, --domain <id>', 'only of this domain; without it, of all that you may see', domainId)
    .option('--status <words>', `only these, with commas: ${SECRET_STATUSES.join(', ')}`, statuses)
    .option('--expires-before <when>', 'that expire before an instant, or within a time from now: 30d', (text) =>
      instantOrAhead(text, io.now()),
    )
    .option('--unused-since <when>', 'that nobody has used since an instant, or for so long: 90d', (text) =>
      instantOrAgo(text, io.now()),
    )
    .option('-q, --search <text>', 'only those where a name holds this')
    .addOption(new Option('--sort <field>', 'in which order; - before it: from the other end').choices(SORTS))
    .option('--csv', 'as CSV, for spreadsheets')
    .action(
      action<InventoryOptions>(io, async (session, options) => {
        const { status, expiresBefore, unusedSince, domain, search: q, sort } = options;
        const query = { status, expiresBefore, unusedSince, domain, q, sort };
        const call: Call = { method: 'GET', path: '/api/v1/secrets', query };
        if (options.csv) return csv(session, call, options);
        await session.list(call, options, secretAnswer, (items) => table(session.paper, items, io.now(), true));
      }),
    );
};

const statuses = (text: string): string => {
  const unknown = text.split(',').find((word) => !(SECRET_STATUSES as readonly string[]).includes(word));
  if (unknown === undefined) return text;
  throw new InvalidArgumentError(`Any of ${SECRET_STATUSES.join(', ')}, with commas between them.`);
};

/** Pages of CSV, one after the other, under one heading. */
const csv = async (session: Session, call: Call, pages: PageOptions): Promise<void> => {
  let after = pages.after;
  for (let first = true; ; first = false) {
    const limit = pages.limit ?? (pages.all ? 200 : undefined);
    const query = { ...call.query, after, limit };
    const { text, headers } = await session.client.send({ ...call, accept: 'text/csv', query });
    await session.out(first ? text : text.slice(text.indexOf('\n') + 1));
    after = nextIn(headers.get('link'));
    if (after === undefined) return;
    if (!pages.all) return session.note(`There are more: --after ${after}, or --all.`);
  }
};

/** The cursor in an RFC 8288 link to the next page. */
const nextIn = (link: string | null): string | undefined => {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1];
  return target === undefined
    ? undefined
    : (new URL(target, 'http://localhost').searchParams.get('after') ?? undefined);
};
