import { invalid } from '@rekey/domain';

/** Where a Redis is and as whom to speak to it. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly username?: string;
  readonly password?: string;
  /** Present: by TLS, against the authorities that Node.js trusts. */
  readonly tls?: Record<string, never>;
}

const PORT = 6379;

/**
 * Reads `redis://user:password@host:port/db`, or `rediss://` for TLS; only the host must be given. Throws
 * `invalid_request`, whose text never holds a part of the URL. Settings behind a `?` are refused: the client would
 * put them before ours.
 */
export const addressOf = (url: string): RedisAddress => {
  const parsed = URL.canParse(url.trim()) ? new URL(url.trim()) : undefined;
  if (!parsed || !['redis:', 'rediss:'].includes(parsed.protocol) || parsed.hostname === '')
    throw refused('Must be of the form redis://user:password@host:port/db, or rediss:// for TLS.');
  if (parsed.search !== '' || parsed.hash !== '') throw refused('Must have no settings.');
  const db = /^\/?(\d{0,5})$/.exec(parsed.pathname)?.[1];
  if (db === undefined) throw refused('Must have the number of a database behind the host, or nothing.');
  const username = decoded(parsed.username);
  const password = decoded(parsed.password);
  if (username !== '' && password === '') throw refused('Must have a password for its user.');
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
    throw refused('Must have its user and password percent-encoded.');
  }
};

const refused = (message: string): Error => invalid('redis.url', message);
