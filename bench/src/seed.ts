import { SqliteDatabase, SqliteEventStore } from '@rekey/adapters/embedded';
import { Argon2SecretHasher, GENERATED_PARAMETERS, IMPORTED_PARAMETERS } from '@rekey/adapters/hashing';
import { SCHEMA_VERSION } from '@rekey/contracts';
import {
  LATEST,
  LOOKUP_BYTES,
  RANDOM_BYTES,
  addDuration,
  applicationIdOf,
  applicationStream,
  chain,
  composeSecret,
  domainStream,
  hintOf,
  lookupIdFrom,
  type ApplicationEvent,
  type Duration,
  type SecurityDomainEvent,
} from '@rekey/domain';
import { NO_STREAM, SystemClock, type EventStore, type NewEvent } from '@rekey/ports';
import { hash, randomBytes, randomUUID } from 'node:crypto';
import path from 'node:path';

export const DOMAIN_ID = 'acme';

/** Client id and secret value, with the ids of the secret. */
export interface Credentials {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly applicationId: string;
  readonly secretId: string;
}

export interface SeedOptions {
  readonly secrets: number;
  readonly secretsPerApplication: number;
  /** Number of secrets, spread evenly, with a real verifier. The others get random bytes in the same format. */
  readonly usable: number;
  /** Expiry of a secret by its number. Default: in one year. */
  readonly expiresAt?: (secret: number) => string;
  readonly onProgress?: (secrets: number) => void;
}

export interface Seeded {
  readonly credentials: readonly Credentials[];
  readonly events: number;
}

/** Concurrent appends; the store commits them in groups. */
const STREAMS_AT_A_TIME = 400;
const LIFETIME: Duration = { amount: 1, unit: 'years' };
const ACTOR = { type: 'system', id: 'bench' } as const;

const sha256 = (text: string): string => hash('sha256', text, 'hex');

/** Returns the hasher of the server with its default parameters. */
export const defaultHasher = (): Argon2SecretHasher =>
  new Argon2SecretHasher({
    generated: GENERATED_PARAMETERS,
    imported: IMPORTED_PARAMETERS,
    indexKey: randomBytes(32),
  });

/** Returns a PHC string with the default parameters that no value matches. */
const lookalike = (): string => {
  const { memoryKiB, iterations, parallelism } = GENERATED_PARAMETERS;
  const unpadded = (bytes: number) => randomBytes(bytes).toString('base64').replace(/=+$/, '');
  return `$argon2id$v=19$m=${memoryKiB},t=${iterations},p=${parallelism}$${unpadded(16)}$${unpadded(32)}`;
};

/** Fills the SQLite store in the folder of a server; see `seedStore`. */
export const seed = async ({ folder, ...options }: SeedOptions & { readonly folder: string }): Promise<Seeded> => {
  const database = await SqliteDatabase.open(path.join(folder, 'data'));
  const store = await SqliteEventStore.open(database, new SystemClock());
  try {
    return await seedStore(store, options);
  } finally {
    await store.close();
    await database.close();
  }
};

/** Fills an empty store with a domain, applications and secrets: valid events with hash chains, through the adapter. */
export const seedStore = async (store: EventStore, options: SeedOptions): Promise<Seeded> => {
  const { secrets, secretsPerApplication, usable } = options;
  const hasher = defaultHasher();
  const credentials: Credentials[] = [];
  const inAYear = addDuration(new Date().toISOString(), LIFETIME) ?? LATEST;
  const expiresAt = options.expiresAt ?? (() => inAYear);
  let events = 0;
  const append = async (stream: string, data: readonly (ApplicationEvent | SecurityDomainEvent)[]): Promise<void> => {
    await store.append(stream, NO_STREAM, chained(stream, data));
    events += data.length;
  };
  await append(domainStream(DOMAIN_ID), [
    { type: 'DomainCreated', data: { domainId: DOMAIN_ID, name: 'Acme', contacts: [] } },
    { type: 'PolicyChanged', data: { domainId: DOMAIN_ID, policy: { expiry: { mode: 'after', after: LIFETIME } } } },
  ]);
  const applications = Math.ceil(secrets / secretsPerApplication);
  const usableEvery = Math.max(1, Math.floor(secrets / usable));
  const application = async (index: number): Promise<void> => {
    const clientId = `client-${index}`;
    const ids = { applicationId: applicationIdOf(DOMAIN_ID, clientId), domainId: DOMAIN_ID };
    const all: ApplicationEvent[] = [
      { type: 'ApplicationRegistered', data: { ...ids, clientId, name: `Application ${index}`, contacts: [] } },
    ];
    const first = index * secretsPerApplication;
    for (let number = first; number < Math.min(secrets, first + secretsPerApplication); number++) {
      const lookupId = lookupIdFrom(randomBytes(LOOKUP_BYTES));
      const clientSecret = composeSecret(lookupId, randomBytes(RANDOM_BYTES));
      const secretId = randomUUID();
      const used = number % usableEvery === 0 && credentials.length < usable;
      if (used) credentials.push({ clientId, clientSecret, applicationId: ids.applicationId, secretId });
      const verifier = used ? await hasher.hash(clientSecret, 'generated') : lookalike();
      all.push({
        type: 'SecretAdded',
        data: {
          ...ids,
          secretId,
          version: 1,
          description: `Secret ${number}`,
          verifier,
          lookupId,
          hint: hintOf(clientSecret),
          expiresAt: expiresAt(number),
          expirySource: 'domain',
        },
      });
    }
    await append(applicationStream(ids.applicationId), all);
  };
  for (let from = 0; from < applications; from += STREAMS_AT_A_TIME) {
    const many = Math.min(STREAMS_AT_A_TIME, applications - from);
    await Promise.all(Array.from({ length: many }, (_, offset) => application(from + offset)));
    options.onProgress?.(Math.min(secrets, (from + many) * secretsPerApplication));
  }
  return { credentials, events };
};

/** Returns the events with metadata and hash chain, as the command handler appends them. */
const chained = (stream: string, events: readonly (ApplicationEvent | SecurityDomainEvent)[]): NewEvent[] => {
  const commandId = randomUUID();
  const occurredAt = new Date().toISOString();
  let previousHash = '';
  return events.map(({ type, data }, revision) => {
    const { eventId, metadata } = chain(
      { stream, revision, eventId: randomUUID(), type, data },
      {
        commandId,
        correlationId: commandId,
        causationId: commandId,
        actor: ACTOR,
        occurredAt,
        schemaVersion: SCHEMA_VERSION,
      },
      previousHash,
      sha256,
    );
    previousHash = metadata.hash;
    return { eventId, type, data, metadata };
  });
};
