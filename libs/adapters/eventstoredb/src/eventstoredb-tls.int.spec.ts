import { EngineUnavailable, NO_STREAM, START, SystemClock } from '@rekey/ports';
import { exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EventStoreDbEventStore } from './eventstoredb-event-store';
import { Peer } from './peer.testing';
import { failureOf } from './waiting.testing';

const folder = mkdtempSync(path.join(tmpdir(), 'rekey-eventstoredb-tls-'));
const certFile = path.join(folder, 'cert.pem');
const clock = new SystemClock();

let peer: Peer;
const opened: EventStoreDbEventStore[] = [];

const open = (user: string, more = `&tlsCAFile=${encodeURIComponent(certFile)}`): EventStoreDbEventStore => {
  const connectionString = `esdb://${user}@localhost:${peer.gate.port}?tls=true${more}`;
  const store = new EventStoreDbEventStore({ connectionString, clock, appendPatienceMs: 1_000 });
  opened.push(store);
  return store;
};

beforeAll(async () => {
  const keyFile = path.join(folder, 'key.pem');
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  const subject = ['-subj', '/CN=peer', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', ['req', ...kind, '-keyout', keyFile, '-out', certFile, ...subject], { stdio: 'ignore' });
  const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile), user: 'rekey:pass word:@' };
  peer = await Peer.start({ tls });
});
afterEach(() => Promise.all(opened.splice(0).map((store) => store.close())));
afterAll(async () => {
  await peer.stop();
  rmSync(folder, { recursive: true });
});

it('signs in with the user of the connection string, for appends, reads and subscriptions', async () => {
  const store = open('rekey:pass%20word%3A%40');
  const stream = exampleStream();
  const { position } = await store.append(stream, NO_STREAM, exampleEvents(2));
  expect(await store.head()).toBe(position);
  const ending = new AbortController();
  const seen: string[] = [];
  for await (const { events } of store.subscribe({ after: START, batchSize: 5, signal: ending.signal })) {
    seen.push(...events.map((event) => event.stream));
    if (seen.length === 2) ending.abort();
  }
  expect(seen).toEqual([stream, stream]);
});

it('is unavailable with another password, and says so at once', async () => {
  const store = open('rekey:other');
  const before = peer.appends.length;
  const append = await failureOf(store.append(exampleStream(), 0, exampleEvents(1)));
  const read = await failureOf(store.head());
  for (const error of [append, read]) {
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect((error as Error).cause).toMatchObject({ type: 'access-denied' });
  }
  expect(peer.appends).toHaveLength(before);
});

it('trusts no server that its authority does not know', async () => {
  const store = open('rekey:pass%20word%3A%40', '');
  const before = peer.calls.append;
  expect(await failureOf(store.append(exampleStream(), 0, exampleEvents(1)))).toBeInstanceOf(EngineUnavailable);
  expect(await failureOf(store.head())).toBeInstanceOf(EngineUnavailable);
  expect(peer.calls.append).toBe(before);
});
