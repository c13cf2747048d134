import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { RekeyError } from '@rekey/contracts';

/** Settings of a connection string that the client supports and that work as documented. */
const SETTINGS = [
  'throwOnAppendFailure',
  'connectionName',
  'defaultDeadline',
  'discoveryInterval',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
  'maxDiscoverAttempts',
  'nodePreference',
  'tls',
  'tlsCAFile',
  'tlsVerifyCert',
];

/** Placeholder for connections without TLS, on which the client does not send credentials. */
const UNSENT: Credentials = { username: 'unsent', password: 'unsent' };

export interface Connection {
  readonly client: EventStoreDBClient;
  /** Passed with every append: without credentials the client uses batch appends, whose stream is shared by all clients. */
  readonly credentials: Credentials;
}

/**
 * Returns a client for an EventStoreDB connection string: `esdb://user:password@host:2113?tls=true`, with several hosts or
 * `esdb+discover://` for a cluster. Does not connect yet. Throws `invalid_request`, whose text contains no part of the
 * string except the name of a setting: the client's own messages quote the whole string, including the password.
 */
export const connect = (connectionString: string): Connection => {
  const { user, settings } = partsOf(connectionString.trim());
  const secure = settings.get('tls') !== 'false';
  if (secure && !user) throw refused('has no user and password, which a server with TLS requires');
  let client: EventStoreDBClient;
  try {
    client = EventStoreDBClient.connectionString(connectionString.trim());
  } catch {
    throw refused('is malformed, or names a certificate file that cannot be read');
  }
  catchReconnectFailures(client);
  return { client, credentials: user ?? UNSENT };
};

interface Parts {
  readonly user: Credentials | undefined;
  readonly settings: ReadonlyMap<string, string>;
}

/**
 * Parses the string for the credentials, which the client does not expose, and for settings that it would only warn about,
 * printing the whole string to the console.
 */
const partsOf = (text: string): Parts => {
  const form = /^esdb(?:\+discover)?:\/\/(?:(?<user>[^:@/?]+):(?<password>[^:@/?]+)@)?[^@?]+(?:\?(?<query>[^?]*))?$/;
  const { user, password, query } = form.exec(text)?.groups ?? {};
  if (!form.test(text)) throw refused('does not have the form esdb://user:password@host:port?setting=value');
  const settings = new Map<string, string>();
  for (const pair of query?.split('&') ?? []) {
    const [key = '', value = ''] = pair.split('=');
    const name = SETTINGS.find((each) => flat(each) === flat(key));
    if (!name) throw refused(`has an unknown setting: ${/^\w{1,40}$/.test(key) ? key : '?'}`);
    settings.set(name, value.trim());
  }
  if (settings.get('throwOnAppendFailure') === 'false')
    throw refused(
      'has throwOnAppendFailure=false, with which the client reports wrong revisions incorrectly; remove it',
    );
  if (settings.get('tlsVerifyCert') === 'false')
    throw refused('has tlsVerifyCert=false, which the client ignores; set tlsCAFile to the certificate authority');
  if (user === undefined || password === undefined) return { user: undefined, settings };
  try {
    return { user: { username: decodeURIComponent(user), password: decodeURIComponent(password) }, settings };
  } catch {
    throw refused('has a user or a password that is not percent-encoded');
  }
};

const flat = (key: string): string => key.trim().toLowerCase().replaceAll(/[_-]/g, '');

const refused = (why: string): RekeyError =>
  new RekeyError('invalid_request', `The connection string ${why}.`, { field: 'eventstore.connectionString' });

/**
 * Catches rejections of the client's private `handleError`. After a failed call it awaits a new connection, and nothing
 * awaits it: without the catch, an unavailable cluster ends the process with an unhandled rejection.
 */
const catchReconnectFailures = (client: EventStoreDBClient): void => {
  const internals = client as unknown as { handleError: (...failed: unknown[]) => Promise<void> };
  const { handleError } = internals;
  internals.handleError = (...failed) => handleError(...failed).catch(() => undefined);
};
