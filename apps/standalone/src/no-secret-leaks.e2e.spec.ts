import { connect } from 'node:net';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { StandaloneProcess, temporaryFolder, type Answer } from './standalone.testing';

/** Ways in which a value could be written down. */
const formsOf = (value: string): Buffer[] => {
  const bytes = Buffer.from(value);
  const base64 = [0, 1, 2].map((skip) =>
    bytes.subarray(skip, skip + 3 * Math.floor((bytes.length - skip) / 3)).toString('base64'),
  );
  return [value, encodeURIComponent(value), bytes.toString('hex'), ...base64].map((form) => Buffer.from(form));
};

describe('plain secrets', () => {
  const folder = temporaryFolder();
  const answers: { readonly request: string; readonly answer: Answer | string }[] = [];
  /** Every value that the run made or brought, and the one answer that may hold it. */
  const values = new Map<string, string | undefined>();
  let rekey: StandaloneProcess;

  const ask = async (
    method: string,
    target: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const answer = await rekey.request(method, target, body, { headers });
    answers.push({ request: `${method} ${target}`, answer });
    return answer;
  };
  /** The value in the answer of a command that makes one; only this very answer may hold it. */
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
    rekey = await StandaloneProcess.start(folder.path, { env: { REKEY_LOGGING_LEVEL: 'trace' } });
  });
  afterAll(async () => {
    await rekey.stop();
    folder.remove();
  });

  it('are made, brought, shown and misplaced in every way there is', async () => {
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
    const again = await rekey.request(
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
      const forwarded = await rekey.request('GET', '/domains/acme/forward-auth', undefined, {
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
    expect(await rekey.stop()).toBe(0);
    expect(values.size).toBe(5);
  });

  it('stand in no answer but the one that hands them out', () => {
    for (const [value, allowed] of values)
      for (const { request, answer } of answers) {
        const text = typeof answer === 'string' ? answer : `${answer.text}\n${JSON.stringify([...answer.headers])}`;
        if (typeof answer !== 'string' && answer.text === allowed) continue;
        for (const form of formsOf(value))
          expect({ request, holds: Buffer.from(text).includes(form) }).toEqual({ request, holds: false });
      }
  });

  it('stand in no log', () => {
    expect(rekey.output.length).toBeGreaterThan(1000);
    expect(rekey.output).not.toContain(rekey.token);
    for (const value of values.keys())
      for (const form of formsOf(value)) expect(Buffer.from(rekey.output).includes(form)).toBe(false);
  });

  it('stand in no file, and verifiers only in the database', () => {
    const data = path.join(folder.path, 'data');
    const files = readdirSync(data);
    expect(files).toContain('rekey.db');
    for (const file of files) {
      const content = readFileSync(path.join(data, file));
      for (const value of values.keys())
        for (const form of formsOf(value))
          expect({ file, holds: content.includes(form) }).toEqual({ file, holds: false });
      if (!file.startsWith('rekey.db'))
        expect({ file, holds: content.includes('$argon2') }).toEqual({ file, holds: false });
    }
  });

  it('are not the only thing that stays inside: no verifier is told either', () => {
    expect(rekey.output).not.toContain('$argon2id$');
    for (const { request, answer } of answers) {
      const text = typeof answer === 'string' ? answer : answer.text;
      expect({ request, holds: text.includes('$argon2') }).toEqual({ request, holds: false });
    }
  });
});
