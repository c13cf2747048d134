import { SqliteDatabase, SqliteEventStore } from '@rekey/adapters/embedded';
import { decodeEvent } from '@rekey/contracts';
import { CHAIN_START, applicationStream, checkLink, parseSecret } from '@rekey/domain';
import { SystemClock } from '@rekey/ports';
import { hash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { defaultHasher, seed } from './seed';

describe('seed', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-bench-seed-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('fills a store with valid chains and usable secrets', async () => {
    const firstEndsMs = Date.now() + 3_600_000;
    const expiresAt = (secret: number): string => new Date(firstEndsMs + secret).toISOString();
    const { credentials, events } = await seed({
      folder,
      secrets: 50,
      secretsPerApplication: 5,
      usable: 10,
      expiresAt,
    });
    expect(credentials).toHaveLength(10);
    expect(new Set(credentials.map(({ applicationId }) => applicationId)).size).toBe(10);
    expect(events).toBe(2 + 10 + 50);
    const database = await SqliteDatabase.open(path.join(folder, 'data'));
    const store = await SqliteEventStore.open(database, new SystemClock());
    try {
      const feed = await store.readFeed({ limit: 1000 });
      expect(feed).toHaveLength(events);
      const places = new Map<string, typeof CHAIN_START>();
      for (const event of feed) {
        decodeEvent(event);
        const step = checkLink(
          { ...event, metadata: { ...event.metadata } },
          places.get(event.stream) ?? CHAIN_START,
          (text) => hash('sha256', text, 'hex'),
        );
        expect(step.broken).toBeUndefined();
        places.set(event.stream, step.place);
      }
      const ends = feed.flatMap(({ data }) => (typeof data['expiresAt'] === 'string' ? [data['expiresAt']] : []));
      expect(ends.toSorted()).toEqual(Array.from({ length: 50 }, (_, secret) => expiresAt(secret)));
      const hasher = defaultHasher();
      for (const { clientSecret, applicationId, secretId } of credentials) {
        const added = (await store.readStream(applicationStream(applicationId))).find(
          ({ data }) => data['secretId'] === secretId,
        );
        const presented = parseSecret(clientSecret);
        expect(presented).toMatchObject({ kind: 'generated', lookupId: added?.data['lookupId'] });
        expect(await hasher.verify(String(added?.data['verifier']), clientSecret)).toBe(true);
      }
    } finally {
      await store.close();
      await database.close();
    }
  });
});
