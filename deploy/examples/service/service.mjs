// Gets a client secret from Rekey and renews it in time. Run `node service.mjs` at every deployment and once a day. It can be
// killed at any time and run again. `node service.mjs --renew` renews now.
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
/** How long the previous value still authenticates after a renewal. Every instance must read the new one within it. */
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
 * Registers the application with its first secret, or renews its secret if it has one.
 * @param {State & { pending: Pending }} state
 * @returns {Promise<Credentials>}
 */
const obtain = async ({ clientId, credentials, pending }) => {
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
    const firstSecret = { description: 'Managed by the service' };
    const { secret = null, result } = credentials
      ? await client.renewSecret({ ...application, secretId: credentials.secretId, overlap: OVERLAP }, options)
      : await client.registerApplication({ ...application, clientId, name: clientId, firstSecret }, options);
    if (!result?.secretId || !result.version) throw new Error('The reply names no secret.');
    return { secretId: result.secretId, secret, version: result.version, madeAt: new Date().toISOString() };
  } finally {
    await client.close();
  }
};

try {
  let state = load();
  while (isDue(state)) {
    // Saved before anything is sent: after a crash, the next run sends the same command and can decrypt the reply.
    const pending = state.pending ?? { commandId: randomUUID(), recipientKey: newKey() };
    save({ ...state, pending });
    const credentials = await obtain({ ...state, pending });
    state = { clientId: state.clientId, credentials };
    save(state);
    // The value is null if it was generated more than 15 minutes ago: renew it at once.
    if (credentials.secret !== null) break;
  }
  console.log(`version ${state.credentials?.version} of the secret of ${state.clientId} is in ${CREDENTIALS_FILE}`);
} catch (error) {
  if (!(error instanceof RekeyError)) throw error;
  // A rejected command is rejected again even when the cause is gone, so the next run sends a new command.
  if (error.code !== 'unavailable' && error.code !== 'timeout') save({ ...load(), pending: undefined });
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
