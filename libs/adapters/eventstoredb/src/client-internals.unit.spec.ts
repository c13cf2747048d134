import { EventStoreDBClient } from '@eventstore/db-client';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from './connection';

const ROOT = path.resolve(__dirname, '../../../..');
const fileIn = (folder: string, file: string): string => readFileSync(path.join(ROOT, folder, file), 'utf8');
const PACKAGE = 'node_modules/@eventstore/db-client';

// The adapter depends on private parts of the client. If a test fails after an upgrade, its comment says what to review.
describe('the EventStoreDB client that the adapter was written for', () => {
  it('is pinned to the exact version that is installed', () => {
    const { dependencies } = JSON.parse(fileIn('.', 'package.json')) as { dependencies: Record<string, string> };
    const { version } = JSON.parse(fileIn(PACKAGE, 'package.json')) as { version: string };
    expect(dependencies['@eventstore/db-client']).toBe(version);
  });

  // Review `catchReconnectFailures` in connection.ts, and the test "does not end the process when a whole cluster goes
  // away" in eventstoredb-reads.int.spec.ts: does the client still leave the promise of `handleError` unhandled?
  it('has the private method handleError and calls it without awaiting it', () => {
    const { handleError } = EventStoreDBClient.connectionString('esdb://localhost:2113?tls=false') as unknown as {
      handleError?: unknown;
    };
    expect(typeof handleError).toBe('function');
    const source = fileIn(PACKAGE, 'dist/Client/index.js');
    expect(source.match(/\bthis\.handleError\(client, err(or)?\);/g)).toHaveLength(2);
    expect(source).not.toMatch(/await this\.handleError/);
  });

  it('has its handleError replaced by one that never rejects', async () => {
    const { client } = connect('esdb://localhost:2113?tls=false');
    const { handleError } = client as unknown as { handleError: (...failed: unknown[]) => Promise<void> };
    await expect(handleError({}, new Error('failed call'))).resolves.toBeUndefined();
    await client.dispose();
  });

  // Review `Connection.credentials` in connection.ts, and the tests of section 1 in eventstoredb-appends.int.spec.ts:
  // without credentials, an append may use the batch call, whose failures affect all clients of the process.
  it('appends with a unary call if it is given credentials', () => {
    expect(fileIn(PACKAGE, 'dist/streams/appendToStream/index.js')).toMatch(
      /if \(!baseOptions\.credentials &&\s+\(await this\.supports\(/,
    );
  });
});
