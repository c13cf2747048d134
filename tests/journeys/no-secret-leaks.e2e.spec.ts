import { connect } from 'node:net';
import { once } from 'node:events';
import { NativeEngine, describeOn, temporaryFolder } from '@rekey/testing';
import { MongoClient } from 'mongodb';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ServiceProcesses, createTopics, environmentOf } from '../support/services.testing';
import { request, type Answer } from '../support/request.testing';
import { StandaloneProcess } from '../support/standalone.testing';

/** Encodings in which a value could be stored. */
const formsOf = (value: string): Buffer[] => {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].map((skip) =>
    bytes.subarray(skip, skip + 3 * Math.floor((bytes.length - skip) / 3)).toString('base64'),
  );
  return [value, encodeURIComponent(value), bytes.toString('hex'), ...base64].map((form) => Buffer.from(form));
};

/** A running system with its logs and data, which the test searches for secrets. */
interface Searched {
  readonly url: string;
  readonly token: string;
  readonly output: string;
  /** Stops it. Resolves when all of its processes have ended with exit code 0. */
  end(): Promise<void>;
  /** Everything it has stored, by name, once it has stopped. `verifiers`: whether it may contain verifiers. */
  kept(): Promise<{ readonly name: string; readonly content: Buffer; readonly verifiers: boolean }[]>;
  remove(): void;
}

const TRACE = { REKEY_LOGGING_LEVEL: 'trace' };

const filesIn = (folder: string, hasVerifiers: (name: string) => boolean) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => {
      const file = path.join(parentPath, name);
      return { name: path.relative(folder, file), content: readFileSync(file), verifiers: hasVerifiers(name) };
    });

const startStandalone = async (): Promise<Searched> => {
  const folder = temporaryFolder();
  const rekey = await StandaloneProcess.start(folder.path, { env: TRACE });
  return {
    url: rekey.url,
    token: rekey.token,
    get output() {
      return rekey.output;
    },
    end: async () => expect(await rekey.stop()).toBe(0),
    kept: async () => filesIn(path.join(folder.path, 'data'), (name) => name.startsWith('rekey.db')),
    remove: () => folder.remove(),
  };
};

/** The four services on engines of their own, so that the engines' files can be searched too. */
const startServices = async (): Promise<Searched> => {
  const folder = temporaryFolder();
  const of = (name: 'kafka' | 'mongodb' | 'redis'): string => path.join(folder.path, 'engines', name);
  const engines = (['kafka', 'mongodb', 'redis'] as const).map((name) => NativeEngine.start(name, of(name)));
  const [kafka, mongodb, redis] = engines.map(({ url }) => url) as [string, string, string];
  const env: Record<string, string> = { ...environmentOf(folder.path, { kafka, mongodb, redis }), ...TRACE };
  await createTopics(env);
  const services = await ServiceProcesses.start(folder.path, env);
  const documents: { name: string; content: Buffer; verifiers: boolean }[] = [];
  return {
    url: services.url,
    token: services.token,
    get output() {
      return services.output;
    },
    end: async () => {
      expect(new Set(await services.stop())).toEqual(new Set([0]));
      // The MongoDB emulator may encode what it stores, so the test queries it instead of reading its files.
      const client = await new MongoClient(mongodb).connect();
      const database = client.db(env['REKEY_MONGODB_DATABASE']);
      for (const { name } of await database.listCollections().toArray()) {
        const content = Buffer.from(JSON.stringify(await database.collection(name).find().toArray()));
        documents.push({ name, content, verifiers: name.startsWith('view:authentication.') });
      }
      await client.close();
      for (const engine of engines) engine.stop();
    },
    kept: async () => [
      ...documents,
      ...filesIn(path.join(folder.path, 'data'), (name) => name.startsWith('rekey.db')),
      ...filesIn(of('kafka'), () => false),
      ...filesIn(of('redis'), () => false),
      ...filesIn(of('mongodb'), () => true),
    ],
    remove: () => {
      for (const engine of engines) engine.stop();
      folder.remove();
    },
  };
};

const searches = (start: () => Promise<Searched>, mustKeep: readonly RegExp[]): void => {
  const answers: { readonly request: string; readonly answer: Answer | string }[] = [];
  /** Every value that the run generated or supplied, and the one answer that may contain it. */
  const values = new Map<string, string | undefined>();
  let rekey: Searched;

  const ask = async (
    method: string,
    target: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const answer = await request(rekey, method, target, body, { headers });
    answers.push({ request: `${method} ${target}`, answer });
    return answer;
  };
  /** Returns the value in the answer to a command. Only this answer may contain it. */
  const made = (answer: Answer, value: unknown): string => {
    expect(typeof value).toBe('string');
    values.set(value as string, answer.text);
    return value as string;
  };
  const raw = async (text: string): Promise<void> => {
    const { hostname, port } = new URL(rekey.url);
    const socket = connect(Number(port), hostname);
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      socket.end();
    });
    socket.on('error', () => undefined);
    socket.write(text, 'latin1');
    await once(socket, 'close');
    answers.push({ request: 'raw', answer: received });
  };

  beforeAll(async () => {
    rekey = await start();
  });
  afterAll(() => rekey?.remove());

  it('are generated, supplied, checked and misplaced in every possible way', async () => {
    await ask('POST', '/domains', { id: 'acme', name: 'Acme' });
    const registered = await ask('POST', '/domains/acme/applications', {
      clientId: 'billing',
      name: 'Billing',
      firstSecret: {},
    });
    const first = made(registered, registered.body.firstSecret.secret);
    const brought = 'a-value-that-a-person-chose-0815';
    values.set(brought, undefined);
    expect(
      (
        await ask('POST', '/domains/acme/applications', {
          clientId: 'legacy',
          name: 'Legacy',
          firstSecret: { value: brought },
        })
      ).status,
    ).toBe(201);
    const base = `/domains/acme/applications/${registered.body.id}`;
    const secrets = `${base}/secrets`;
    const key = { 'idempotency-key': 'once' };
    const added = await ask('POST', secrets, { description: 'CI', expiresIn: { amount: 90, unit: 'days' } }, key);
    const value = made(added, added.body.secret);
    const again = await request(
      rekey,
      'POST',
      secrets,
      { description: 'CI', expiresIn: { amount: 90, unit: 'days' } },
      { headers: key },
    );
    expect(again.body).toMatchObject({ secret: value, replayed: true });
    const renewed = await ask('POST', `${secrets}/${added.body.id}/renew`, { overlap: { amount: 1, unit: 'days' } });
    const newer = made(renewed, renewed.body.secret);
    const short = await ask('POST', secrets, { description: 'Short', expiresIn: { amount: 1, unit: 'seconds' } });
    made(short, short.body.secret);

    for (const clientSecret of [first, value, newer]) {
      expect((await ask('POST', '/domains/acme/authenticate', { clientId: 'billing', clientSecret })).status).toBe(200);
      const basic = `Basic ${Buffer.from(`billing:${clientSecret}`).toString('base64')}`;
      const forwarded = await request(rekey, 'GET', '/domains/acme/forward-auth', undefined, {
        token: null,
        headers: { authorization: basic, 'rekey-authorization': `Bearer ${rekey.token}` },
      });
      answers.push({ request: 'forward-auth', answer: forwarded });
      expect(forwarded.status).toBe(204);
    }
    expect(
      (await ask('POST', '/domains/acme/authenticate', { clientId: 'legacy', clientSecret: brought })).status,
    ).toBe(200);

    for (const misplaced of [value, newer, brought]) {
      await ask('POST', '/domains/acme/authenticate', { clientId: misplaced, clientSecret: misplaced });
      await ask('POST', '/domains/acme/authenticate', { clientId: 'billing', clientSecret: [misplaced] });
      await ask('POST', '/domains/acme/authenticate', { clientId: 'billing', [misplaced]: misplaced });
      await ask('POST', '/domains/acme/authenticate', { clientId: 'billing', clientSecret: `${misplaced}x` });
      await ask('GET', `/domains/${encodeURIComponent(misplaced)}`);
      await ask('GET', `/domains?after=${encodeURIComponent(misplaced)}`);
      await ask('GET', `/secrets?unknown=${encodeURIComponent(misplaced)}`);
      await ask('GET', `/secrets?q=${encodeURIComponent(misplaced)}`);
      await ask('GET', `//${encodeURIComponent(misplaced)}`);
      await ask('POST', secrets, { description: 'x', secret: misplaced });
      await ask('POST', `${secrets}/${added.body.id}/revoke`, { reason: misplaced });
      await ask('GET', '/domains', undefined, {
        'x-request-id': misplaced.slice(0, 64),
        'rekey-at-least': misplaced,
        'if-match': misplaced,
      });
      await ask('POST', '/domains', { name: 'Odd' }, { 'idempotency-key': misplaced, 'if-match': misplaced });
      await raw(
        `GET /api/v1/domains HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${misplaced}\r\nConnection: close\r\n\r\n`,
      );
      await raw(`${misplaced} / HTTP/1.1\r\n\r\n`);
      await raw(
        `POST /api/v1/domains/acme/authenticate HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${rekey.token}\r\nContent-Type: application/json\r\nContent-Length: ${misplaced.length + 2}\r\nConnection: close\r\n\r\n{"${misplaced}`,
      );
    }
    await ask('POST', '/domains/acme/authenticate', {
      clientId: 'billing',
      clientSecret: value,
      padding: 'x'.repeat(400_000),
    });
    while ((await ask('GET', '/notifications')).body.items.length === 0)
      await new Promise((resolve) => setTimeout(resolve, 50));
    for (const target of [
      '/history',
      '/notifications',
      '/secrets',
      secrets,
      base,
      '/domains',
      '//metrics',
      '//health/ready',
      '//openapi.json',
      '//docs',
    ])
      expect((await ask('GET', target)).status).toBe(200);
    await ask('GET', '/history', undefined, { accept: 'application/x-ndjson' });
    await ask('GET', `${base}?asOf=${new Date().toISOString()}`);
    await ask('POST', '/history/verify');
    await ask('GET', `/commands/${added.headers.get('rekey-command-id')}`);
    await ask('POST', `${secrets}/${added.body.id}/revoke`, { force: true });
    await rekey.end();
    expect(values.size).toBe(5);
  });

  it('are in no answer except the one that issues them', () => {
    for (const [value, allowed] of values)
      for (const { request, answer } of answers) {
        const text = typeof answer === 'string' ? answer : `${answer.text}\n${JSON.stringify([...answer.headers])}`;
        if (typeof answer !== 'string' && answer.text === allowed) continue;
        for (const form of formsOf(value))
          expect({ request, holds: Buffer.from(text).includes(form) }).toEqual({ request, holds: false });
      }
  });

  it('are in no log', () => {
    expect(rekey.output.length).toBeGreaterThan(1000);
    expect(rekey.output).not.toContain(rekey.token);
    for (const value of values.keys())
      for (const form of formsOf(value)) expect(Buffer.from(rekey.output).includes(form)).toBe(false);
  });

  it('are not in stored data, where verifiers are only where they belong', async () => {
    const kept = await rekey.kept();
    for (const pattern of mustKeep) expect(kept.map(({ name }) => name)).toContainEqual(expect.stringMatching(pattern));
    for (const { name, content, verifiers } of kept) {
      for (const value of values.keys())
        for (const form of formsOf(value))
          expect({ name, holds: content.includes(form) }).toEqual({ name, holds: false });
      if (!verifiers) expect({ name, holds: content.includes('$argon2') }).toEqual({ name, holds: false });
    }
  });

  it('nor are verifiers in any answer or log', () => {
    expect(rekey.output).not.toContain('$argon2id$');
    for (const { request, answer } of answers) {
      const text = typeof answer === 'string' ? answer : answer.text;
      expect({ request, holds: text.includes('$argon2') }).toEqual({ request, holds: false });
    }
  });
};

describe('plaintext secrets in standalone', () => {
  searches(startStandalone, [/^rekey\.db$/, /^admin-token$/]);
});

describe('plaintext secrets in the four services', () => {
  describeOn(['kafka', 'mongodb', 'redis'], () => {
    searches(startServices, [
      /^rekey\.db$/,
      /\.commands-\d+.*\.log$/,
      /\.events-\d+.*\.log$/,
      /appendonly/,
      /^view:authentication\./,
    ]);
  });
});
