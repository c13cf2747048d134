import { SECRET_STATUSES, secretAnswer } from '@rekey/contracts';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Call } from '../client';
import { domainId, instantOrAgo, instantOrAhead } from '../input';
import { paged } from '../options';
import { action, type Io, type PageOptions, type Session } from '../session';
import { secretTable } from './secret-output';

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

export const addInventoryCommand = (secret: Command, io: Io): void => {
  paged(secret.command('inventory'))
    .description('List secrets across applications and domains.')
    .option('-d, --domain <id>', 'Only this domain (default: all you have access to).', domainId)
    .option('--status <words>', `Only these statuses, comma-separated: ${SECRET_STATUSES.join(', ')}.`, statuses)
    .option(
      '--expires-before <when>',
      'Only secrets that expire before this time, or within this duration, e.g. 30d.',
      (text) => instantOrAhead(text, io.now()),
    )
    .option('--unused-since <when>', 'Only secrets unused since this time, or for this long, e.g. 90d.', (text) =>
      instantOrAgo(text, io.now()),
    )
    .option('-q, --search <text>', 'Only secrets with this text in a name or description.')
    .addOption(new Option('--sort <field>', 'Sort order; a leading - reverses it.').choices(SORTS))
    .option('--csv', 'Print CSV.')
    .action(
      action<InventoryOptions>(io, async (session, options) => {
        const { status, expiresBefore, unusedSince, domain, search: q, sort } = options;
        const query = { status, expiresBefore, unusedSince, domain, q, sort };
        const call: Call = { method: 'GET', path: '/api/v1/secrets', query };
        if (options.csv) return csv(session, call, options);
        await session.list(call, options, secretAnswer, (items) =>
          secretTable(session.formatter, items, io.now(), true),
        );
      }),
    );
};

const statuses = (text: string): string => {
  const unknown = text.split(',').find((word) => !(SECRET_STATUSES as readonly string[]).includes(word));
  if (unknown === undefined) return text;
  throw new InvalidArgumentError(`Expected a comma-separated list of ${SECRET_STATUSES.join(', ')}.`);
};

/** Prints pages of CSV under one header line. */
const csv = async (session: Session, call: Call, pages: PageOptions): Promise<void> => {
  let after = pages.after;
  for (let first = true; ; first = false) {
    const limit = pages.limit ?? (pages.all ? 200 : undefined);
    const query = { ...call.query, after, limit };
    const { text, headers } = await session.client.send({ ...call, accept: 'text/csv', query });
    await session.out(first ? text : text.slice(text.indexOf('\n') + 1));
    after = nextIn(headers.get('link'));
    if (after === undefined) return;
    if (!pages.all) return session.note(`More items: pass --after ${after} or --all.`);
  }
};

/** Returns the cursor in a `Link` header with `rel="next"` (RFC 8288). */
const nextIn = (link: string | null): string | undefined => {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1];
  return target === undefined
    ? undefined
    : (new URL(target, 'http://localhost').searchParams.get('after') ?? undefined);
};
