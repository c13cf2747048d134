import { invalid } from '@rekey/domain';

/** Address and credentials of a Redis server. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username?: string;
  readonly password?: string;
  /** If present, TLS is used with the certificate authorities that Node.js trusts. */
  readonly tls?: Record<string, never>;
}

const PORT = 6379;

/**
 * Parses `redis://user:password@host:port/db`, or `rediss://` for TLS. Only the host is required. Throws
 * `invalid_request` without any part of the URL in its text. A query is refused because the client would let it override
 * our settings.
 */
export const parseRedisUrl = (url: string): RedisAddress => {
  const parsed = URL.canParse(url.trim()) ? new URL(url.trim()) : undefined;
  if (!parsed || !['redis:', 'rediss:'].includes(parsed.protocol) || parsed.hostname === '')
    throw refused('Must be of the form redis://user:password@host:port/db, or rediss:// for TLS.');
  if (parsed.search !== '' || parsed.hash !== '') throw refused('Must not have a query or fragment.');
  const db = /^\/?(\d{0,5})$/.exec(parsed.pathname)?.[1];
  if (db === undefined) throw refused('The path must be empty or the number of a database.');
  const username = decoded(parsed.username);
  const password = decoded(parsed.password);
  if (username !== '' && password === '') throw refused('Must have a password if it has a user.');
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(parsed.port || PORT),
    db: Number(db),
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    ...(parsed.protocol === 'rediss:' && { tls: {} }),
  };
};

const decoded = (part: string): string => {
  try {
    return decodeURIComponent(part);
  } catch {
    throw refused('The user and password must be percent-encoded.');
  }
};

const refused = (message: string): Error => invalid('redis.url', message);
