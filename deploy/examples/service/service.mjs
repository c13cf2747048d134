// A service that has Rekey make its client secret, and renews it in time: `node service.mjs`, at every deployment and once a
// day. It may be killed at any moment and simply be run again. `node service.mjs --renew` renews now.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { RekeyClient, RekeyError, applicationIdOf } from '@rekey/client';

const {
  KAFKA_BROKERS = '127.0.0.1:9092',
  KAFKA_TOPIC_PREFIX = '',
  REKEY_DOMAIN = 'shop',
  SERVICE_NAME = 'billing',
  SERVICE_KEY_FILE = 'billing-key.json',
  CREDENTIALS_FILE = 'credentials.json',
} = process.env;
const RENEW_AFTER_DAYS = 30;
const DAY_MS = 86_400_000;
/** For so long after a renewal the value before it authenticates too: until every instance has read the new one. */
const OVERLAP = /** @type {const} */ ({ amount: 1, unit: 'hours' });

/**
 * @typedef {import('@rekey/client').PrivateJwk} PrivateJwk
 * @typedef {{ secretId: string, secret: string | null, version: number, madeAt: string }} Credentials
 * @typedef {{ commandId: string, recipientKey: PrivateJwk }} Pending
 * @typedef {{ clientId: string, credentials?: Credentials, pending?: Pending }} State
 */

const application = { domainId: REKEY_DOMAIN, applicationId: applicationIdOf(REKEY_DOMAIN, SERVICE_NAME) };

/** @returns {State} */
const load = () =>
  existsSync(CREDENTIALS_FILE) ? JSON.parse(readFileSync(CREDENTIALS_FILE, 'utf8')) : { clientId: SERVICE_NAME };

/** @param {State} state */
const save = (state) => {
  writeFileSync(`${CREDENTIALS_FILE}.new`, JSON.stringify(state), { mode: 0o600, flush: true });
  renameSync(`${CREDENTIALS_FILE}.new`, CREDENTIALS_FILE);
};

/** @returns {PrivateJwk} */
const newKey = () =>
  /** @type {PrivateJwk} */ (generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }));

/** @param {State} state */
const isDue = ({ credentials, pending }) =>
  pending !== undefined ||
  typeof credentials?.secret !== 'string' ||
  Date.now() - Date.parse(credentials.madeAt) > RENEW_AFTER_DAYS * DAY_MS ||
  process.argv.includes('--renew');

/**
 * Registers the application with its first secret, or renews the secret that there is.
 * @param {State & { pending: Pending }} state
 * @returns {Promise<Credentials>}
 */
const make = async ({ clientId, credentials, pending }) => {
  const { commandId, recipientKey } = pending;
  const client = await RekeyClient.connect({
    brokers: KAFKA_BROKERS.split(','),
    topicPrefix: KAFKA_TOPIC_PREFIX,
    name: SERVICE_NAME,
    privateKey: JSON.parse(readFileSync(SERVICE_KEY_FILE, 'utf8')),
    recipientKey,
  });
  try {
    const options = { commandId, retryForMs: Infinity };
    const firstSecret = { description: 'Its own' };
    const { secret = null, result } = credentials
      ? await client.renewSecret({ ...application, secretId: credentials.secretId, overlap: OVERLAP }, options)
      : await client.registerApplication({ ...application, clientId, name: clientId, firstSecret }, options);
    if (!result?.secretId || !result.version) throw new Error('Rekey tells nothing of a secret.');
    return { secretId: result.secretId, secret, version: result.version, madeAt: new Date().toISOString() };
  } finally {
    await client.close();
  }
};

try {
  let state = load();
  while (isDue(state)) {
    // Before anything is sent: whoever comes after this process asks for the same thing again, and can open the answer.
    const pending = state.pending ?? { commandId: randomUUID(), recipientKey: newKey() };
    save({ ...state, pending });
    const credentials = await make({ ...state, pending });
    state = { clientId: state.clientId, credentials };
    save(state);
    // A value that was made too long ago to be told again is null: then it is renewed at once.
    if (credentials.secret !== null) break;
  }
  console.log(`version ${state.credentials?.version} of the secret of ${state.clientId} is in ${CREDENTIALS_FILE}`);
} catch (error) {
  if (!(error instanceof RekeyError)) throw error;
  // A refusal is told again for the same command, also when its cause is gone: the next run asks anew.
  if (error.code !== 'unavailable' && error.code !== 'timeout') save({ ...load(), pending: undefined });
  console.error(`Rekey says ${error.code}: ${error.message}`);
  process.exitCode = 1;
}
