import { type Credentials, EventStoreDBClient } from '@eventstore/db-client';
import { RekeyError } from '@rekey/contracts';

/** Settings of a connection string that the client knows, and that do what they say. */
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

/** What the client must be given with an append; an insecure connection sends no credentials, whatever they are. */
const UNSENT: Credentials = { username: 'unsent', password: 'unsent' };

export interface Connection {
  readonly client: EventStoreDBClient;
  /** Given with every append, which keeps it off the path that all clients of a process share. */
  readonly credentials: Credentials;
}

/**
 * A client for a connection string, as EventStoreDB's clients take it: `esdb://user:password@host:2113?tls=true`, several
 * hosts or `esdb+discover://` for a cluster. Nothing is connected yet. Throws `invalid_request`, whose text never holds
 * a part of the string but the name of a setting: the client's own words quote it, password and all.
 */
export const connect = (connectionString: string): Connection => {
  const { user, settings } = partsOf(connectionString.trim());
  const secure = settings.get('tls') !== 'false';
  if (secure && !user) throw refused('names no user and password, which a server with TLS needs');
  let client: EventStoreDBClient;
  try {
    client = EventStoreDBClient.connectionString(connectionString.trim());
  } catch {
    throw refused('cannot be read, or names a file that cannot be');
  }
  shieldFromItself(client);
  return { client, credentials: user ?? UNSENT };
};

interface Parts {
  readonly user: Credentials | undefined;
  readonly settings: ReadonlyMap<string, string>;
}

/** Looks at what the client would warn about on the console with the whole string, and at what it does not give out. */
const partsOf = (text: string): Parts => {
  const form = /^esdb(?:\+discover)?:\/\/(?:(?<user>[^:@/?]+):(?<password>[^:@/?]+)@)?[^@?]+(?:\?(?<query>[^?]*))?$/;
  const { user, password, query } = form.exec(text)?.groups ?? {};
  if (!form.test(text)) throw refused('is not of the form esdb://user:password@host:port?setting=value');
  const settings = new Map<string, string>();
  for (const pair of query?.split('&') ?? []) {
    const [key = '', value = ''] = pair.split('=');
    const name = SETTINGS.find((each) => flat(each) === flat(key));
    if (!name) throw refused(`has a setting that is not known: ${/^\w{1,40}$/.test(key) ? key : '?'}`);
    settings.set(name, value.trim());
  }
  if (settings.get('throwOnAppendFailure') === 'false')
    throw refused('has throwOnAppendFailure=false, with which the client tells wrong revisions');
  if (settings.get('tlsVerifyCert') === 'false')
    throw refused('has tlsVerifyCert=false, which the client does not follow; name the authority by tlsCAFile');
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
 * Reacting to a failed call, the client waits for a connection that may fail as well, and nobody waits for the client
 * then: in a cluster that is away this rejection would end the process.
 */
const shieldFromItself = (client: EventStoreDBClient): void => {
  const own = client as unknown as { handleError: (...failed: unknown[]) => Promise<void> };
  const react = own.handleError;
  own.handleError = (...failed) => react(...failed).catch(() => undefined);
};
