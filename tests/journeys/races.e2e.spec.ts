import { temporaryFolder } from '@rekey/testing';
import type { Answer } from '../support/request.testing';
import { StandaloneProcess } from '../support/standalone.testing';

const CAP = 10;
const ADDS = 50;
const CHECKERS = 8;
const ROUNDS = 12;

interface Added {
  readonly id: string;
  readonly secret: string;
}

describe('concurrent requests over HTTP', () => {
  const folder = temporaryFolder();
  let rekey: StandaloneProcess;
  let names = 0;

  beforeAll(async () => {
    rekey = await StandaloneProcess.start(folder.path, {
      env: { REKEY_LOGGING_LEVEL: 'silent', REKEY_AUTHENTICATION_FAILURESPERMINUTEMAX: '1000000' },
    });
    await rekey.request('POST', '/domains', { id: 'acme', name: 'Acme' });
  });
  afterAll(async () => {
    await rekey.stop();
    folder.remove();
  });

  const application = async (domainId = 'acme') => {
    const clientId = `client-${++names}`;
    const { body } = await rekey.request('POST', `/domains/${domainId}/applications`, { clientId, name: clientId });
    const base = `/domains/${domainId}/applications/${(body as { id: string }).id}`;
    const add = async (more: object = {}): Promise<Added> => {
      const answer = await rekey.request('POST', `${base}/secrets`, { description: `secret ${++names}`, ...more });
      expect(answer.status).toBe(201);
      return answer.body as Added;
    };
    const check = (clientSecret: string): Promise<number> =>
      rekey
        .request('POST', `/domains/${domainId}/authenticate`, { clientId, clientSecret })
        .then(({ status }) => status);
    return { base, add, check };
  };

  it('fifty adds never exceed the limit of secrets', async () => {
    const { base, check } = await application();
    const answers = await Promise.all(
      Array.from({ length: ADDS }, (_, index) => rekey.request('POST', `${base}/secrets`, { description: `${index}` })),
    );
    const added = answers.filter(({ status }) => status === 201);
    expect(added).toHaveLength(CAP);
    expect(
      new Set(answers.filter(({ status }) => status !== 201).map(({ body }) => (body as { code: string }).code)),
    ).toEqual(new Set(['too_many_secrets']));
    for (const { body } of added) expect(await check((body as Added).secret)).toBe(200);
    const listed = await rekey.request('GET', `${base}/secrets`);
    expect((listed.body as { items: unknown[] }).items).toHaveLength(CAP);
  });

  it('one idempotency key creates one secret, and every request gets the same value', async () => {
    const { base, check } = await application();
    for (let round = 0; round < 5; round++) {
      const send = (): Promise<Answer> =>
        rekey.request(
          'POST',
          `${base}/secrets`,
          { description: `round ${round}` },
          { headers: { 'idempotency-key': `${base}-${round}` } },
        );
      const answers = await Promise.all(Array.from({ length: 10 }, send));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
      expect(new Set(answers.map(({ body }) => (body as Added).secret)).size).toBe(1);
      expect(new Set(answers.map(({ body }) => (body as Added).id)).size).toBe(1);
      expect(await check((answers[0]?.body as Added).secret)).toBe(200);
    }
    const { body } = await rekey.request('GET', `${base}/history`);
    expect((body as { items: { type: string }[] }).items.filter(({ type }) => type === 'SecretAdded')).toHaveLength(5);
  });

  it('repeats the first outcome, regardless of later changes', async () => {
    const { base, add } = await application();
    const { id } = await add({ description: 'first' });
    const key = (name: string) => ({ headers: { 'idempotency-key': `${base}-${name}` } });
    const duplicate = (): Promise<Answer> =>
      rekey.request('POST', `${base}/secrets`, { description: 'first' }, key('duplicate'));
    const resume = (): Promise<Answer> => rekey.request('POST', `${base}/secrets/${id}/resume`, {}, key('resume'));
    const [refused, nothing] = [await duplicate(), await resume()];
    expect(refused.body).toMatchObject({ status: 409, code: 'description_taken' });
    expect(nothing.status).toBe(200);
    await rekey.request('POST', `${base}/secrets/${id}/suspend`, { force: true });
    await rekey.request('PATCH', `${base}/secrets/${id}`, { description: 'renamed' });
    const before = await rekey.request('GET', `${base}/history`);
    expect((await duplicate()).body).toMatchObject({ status: 409, code: 'description_taken' });
    expect((await resume()).headers.get('rekey-replayed')).toBe('true');
    expect((await rekey.request('GET', `${base}/history`)).text).toBe(before.text);
    expect((await rekey.request('GET', `${base}/secrets/${id}`)).body).toMatchObject({
      status: 'suspended',
      description: 'renamed',
    });
  });

  /** Commands that end a secret, and which of its values must be rejected once the command is acknowledged. */
  const endings: readonly [string, (secret: Added, base: string) => Promise<{ ended: string; answer: Answer }>][] = [
    [
      'revoke',
      async ({ id, secret }, base) => ({
        ended: secret,
        answer: await rekey.request('POST', `${base}/secrets/${id}/revoke`, { force: true }),
      }),
    ],
    [
      'suspend',
      async ({ id, secret }, base) => ({
        ended: secret,
        answer: await rekey.request('POST', `${base}/secrets/${id}/suspend`, { force: true }),
      }),
    ],
    [
      'renew without overlap',
      async ({ id, secret }, base) => ({
        ended: secret,
        answer: await rekey.request('POST', `${base}/secrets/${id}/renew`),
      }),
    ],
    [
      'end-overlap',
      async ({ id, secret }, base) => {
        await rekey.request('POST', `${base}/secrets/${id}/renew`, { overlap: { amount: 1, unit: 'hours' } });
        return { ended: secret, answer: await rekey.request('POST', `${base}/secrets/${id}/end-overlap`) };
      },
    ],
    [
      'restrict',
      async ({ id, secret }, base) => ({
        ended: secret,
        answer: await rekey.request('PATCH', `${base}/secrets/${id}`, { allowedCidrs: ['203.0.113.0/24'] }),
      }),
    ],
    [
      'disable the application',
      async ({ secret }, base) => ({ ended: secret, answer: await rekey.request('PATCH', base, { enabled: false }) }),
    ],
    [
      'delete the application',
      async ({ secret }, base) => ({ ended: secret, answer: await rekey.request('DELETE', base) }),
    ],
  ];

  it.each(endings)('%s: rejects every check sent after the answer', async (_name, end) => {
    for (let round = 0; round < ROUNDS; round++) {
      const { base, add, check } = await application();
      const secret = await add();
      let endedAtMs = Infinity;
      let stopping = false;
      const late: number[] = [];
      let early = 0;
      const checker = async (): Promise<void> => {
        while (!stopping) {
          const sentAtMs = performance.now();
          const status = await check(secret.secret);
          if (sentAtMs > endedAtMs) late.push(status);
          else if (status === 200) early++;
        }
      };
      const checkers = Array.from({ length: CHECKERS }, checker);
      while (early < CHECKERS) await new Promise((resolve) => setImmediate(resolve));
      const { ended, answer } = await end(secret, base);
      endedAtMs = performance.now();
      expect([200, 204]).toContain(answer.status);
      while (late.length < 2 * CHECKERS) await new Promise((resolve) => setImmediate(resolve));
      stopping = true;
      await Promise.all(checkers);
      expect(new Set(late)).toEqual(new Set([401]));
      expect(await check(ended)).toBe(401);
    }
  });

  it('disabling or deleting a domain ends every secret in it', async () => {
    for (const [method, body] of [
      ['PATCH', { enabled: false }],
      ['DELETE', undefined],
    ] as const) {
      const domainId = `domain-${++names}`;
      await rekey.request('POST', '/domains', { id: domainId, name: 'Short-lived' });
      const { add, check } = await application(domainId);
      const { secret } = await add();
      expect(await check(secret)).toBe(200);
      const answer = await rekey.request(method, `/domains/${domainId}`, body);
      expect([200, 204]).toContain(answer.status);
      expect(await Promise.all(Array.from({ length: CHECKERS }, () => check(secret)))).toEqual(
        Array(CHECKERS).fill(401),
      );
    }
  });
});
