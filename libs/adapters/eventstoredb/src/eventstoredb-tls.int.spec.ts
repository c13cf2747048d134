import { EngineUnavailable, NO_STREAM, START } from '@rekey/ports';
import { exampleEvents, exampleStream } from '@rekey/ports/conformance';
import { Authority, failureOf } from '@rekey/testing';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { EventStoreDbEventStore } from './eventstoredb-event-store';
import { FakeServer } from './fake-server.testing';
import { OpenedStores } from './opened-stores.testing';

const folder = mkdtempSync(path.join(tmpdir(), 'rekey-eventstoredb-tls-'));
const authority = new Authority(folder, 'authority');
const stores = new OpenedStores();

let server: FakeServer;

const open = (user: string, settings = `&tlsCAFile=${encodeURIComponent(authority.cert)}`): EventStoreDbEventStore =>
  stores.open(`esdb://${user}@localhost:${server.network.port}?tls=true${settings}`, { appendRetryMs: 1_000 });

beforeAll(async () => {
  const { cert, key } = authority.issue('server', 'localhost');
  const tls = { cert: readFileSync(cert), key: readFileSync(key), user: 'rekey:pass word:@' };
  server = await FakeServer.start({ tls });
});
afterEach(() => stores.closeAll());
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

it('authenticates appends, reads and subscriptions with the user of the connection string', async () => {
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

it('fails at once as unavailable if the password is wrong', async () => {
  const store = open('rekey:other');
  const before = server.appends.length;
  const append = await failureOf(store.append(exampleStream(), 0, exampleEvents(1)));
  const read = await failureOf(store.head());
  for (const error of [append, read]) {
    expect(error).toBeInstanceOf(EngineUnavailable);
    expect((error as Error).cause).toMatchObject({ type: 'access-denied' });
  }
  expect(server.appends).toHaveLength(before);
});

it('refuses a server whose certificate the configured authority has not issued', async () => {
  const store = open('rekey:pass%20word%3A%40', '');
  const before = server.calls.append;
  expect(await failureOf(store.append(exampleStream(), 0, exampleEvents(1)))).toBeInstanceOf(EngineUnavailable);
  expect(await failureOf(store.head())).toBeInstanceOf(EngineUnavailable);
  expect(server.calls.append).toBe(before);
});
