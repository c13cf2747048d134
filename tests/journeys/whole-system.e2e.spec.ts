import { until as waitUntil } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { request, type Answer } from '../support/request.testing';
import { describeSystems, type SystemUnderTest } from '../support/system-under-test.testing';

/**
 * The life of a secret from end to end, through a URL and a token only: every composition of the system must behave
 * the same. The steps build on each other.
 */
describeSystems('the whole system', (startSystem) => {
  // An external event store may already contain other domains.
  const DOMAIN = `acme-${randomUUID().slice(0, 8)}`;
  const CLIENT = 'billing';
  let system: SystemUnderTest;
  let application: string;
  const secrets: Record<'production' | 'ci' | 'trial', { id: string; secret: string }> = {} as never;
  let renewed: string;
  const instants: Record<'beforeRenewal' | 'inOverlap', string> = {} as never;

  const ask = (method: string, path: string, body?: unknown, headers = {}): Promise<Answer> =>
    request(system, method, path, body, { headers });
  /** Sends a request that must be accepted. Returns the body. */
  const done = async (method: string, path: string, body?: unknown): Promise<Answer['body']> => {
    const answer = await ask(method, path, body);
    if (answer.status > 201) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  /** Returns the status of a check: 200 or 401. */
  const check = async (secret: string): Promise<number> =>
    (await ask('POST', `/domains/${DOMAIN}/authenticate`, { clientId: CLIENT, clientSecret: secret })).status;
  const until = <T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> =>
    waitUntil(what, look, { timeoutMs: 30_000, intervalMs: 50 });
  const nextMoment = async (): Promise<string> => {
    const now = new Date().toISOString();
    await until('the next moment', async () => new Date().toISOString() > now);
    return now;
  };
  const path = (secret: { id: string }): string => `${application}/secrets/${secret.id}`;

  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system?.remove());

  it('creates a domain, sets its policy and registers an application', async () => {
    await done('POST', '/domains', { id: DOMAIN, name: 'Acme', contacts: ['security@acme.example'] });
    const policy = {
      expiry: { mode: 'after', after: { amount: 90, unit: 'days' } },
      maxLifetime: { amount: 1, unit: 'years' },
    };
    expect(await done('PUT', `/domains/${DOMAIN}/policy`, policy)).toMatchObject({ affected: { count: 0 } });
    const { id } = await done('POST', `/domains/${DOMAIN}/applications`, { clientId: CLIENT, name: 'Billing' });
    application = `/domains/${DOMAIN}/applications/${id}`;
  });

  it('adds two secrets that both authenticate', async () => {
    secrets.production = await done('POST', `${application}/secrets`, { description: 'Production' });
    secrets.ci = await done('POST', `${application}/secrets`, {
      description: 'CI',
      expiresIn: { amount: 3, unit: 'months' },
    });
    expect(await Promise.all([check(secrets.production.secret), check(secrets.ci.secret)])).toEqual([200, 200]);
    const { items } = await done('GET', `${application}/secrets`);
    expect(items).toMatchObject([
      { description: 'Production', expirySource: 'domain' },
      { description: 'CI', expirySource: 'command' },
    ]);
    expect(JSON.stringify(items)).not.toContain(secrets.production.secret);
  });

  it('renews a secret with an overlap, and ends the overlap', async () => {
    instants.beforeRenewal = await nextMoment();
    const overlap = { amount: 2, unit: 'days' };
    ({ secret: renewed } = await done('POST', `${path(secrets.production)}/renew`, { overlap }));
    expect([await check(renewed), await check(secrets.production.secret)]).toEqual([200, 200]);
    instants.inOverlap = await nextMoment();
    await done('POST', `${path(secrets.production)}/end-overlap`);
    expect([await check(renewed), await check(secrets.production.secret)]).toEqual([200, 401]);
  });

  it('rejects a disabled secret at once, and accepts it again once it is resumed', async () => {
    await done('POST', `${path(secrets.ci)}/suspend`, { reason: 'Seen in a log.' });
    expect(await check(secrets.ci.secret)).toBe(401);
    await done('POST', `${path(secrets.ci)}/resume`);
    expect(await check(secrets.ci.secret)).toBe(200);
  });

  it('rejects a revoked secret at once and permanently', async () => {
    expect(await done('POST', `${path(secrets.ci)}/revoke`, { reason: 'keyCompromise' })).toHaveProperty('effectiveAt');
    expect(await check(secrets.ci.secret)).toBe(401);
    expect(await ask('POST', `${path(secrets.ci)}/renew`)).toMatchObject({
      status: 409,
      body: { code: 'not_renewable' },
    });
    const last = await ask('POST', `${path(secrets.production)}/revoke`);
    expect(last).toMatchObject({ status: 409, body: { code: 'last_live_secret' } });
    expect(await check(renewed)).toBe(200);
  });

  it('rejects an expired secret from its expiry on, and records the expiry', async () => {
    const expiresIn = { amount: 3, unit: 'seconds' };
    secrets.trial = await done('POST', `${application}/secrets`, { description: 'Trial', expiresIn });
    const { expiresAt } = await done('GET', path(secrets.trial));
    const endsMs = Date.parse(expiresAt);
    let admitted = 0;
    await until('the expiry', async () => {
      const askedMs = Date.now();
      const status = await check(secrets.trial.secret);
      const answeredMs = Date.now();
      // Either status is correct at the instant itself, because only the server knows when it checked.
      if (answeredMs < endsMs) expect(status).toBe(200);
      if (askedMs >= endsMs) expect(status).toBe(401);
      if (status === 200) admitted++;
      return askedMs >= endsMs;
    });
    expect(admitted).toBeGreaterThan(0);
    const recorded = await until('the recorded expiry', async () => {
      const { items } = await done('GET', `${application}/history?type=SecretExpired`);
      return items[0];
    });
    expect(recorded.data).toMatchObject({ secretId: secrets.trial.id, version: 1, expiresAt });
    expect(await done('GET', path(secrets.trial))).toMatchObject({ status: 'expired' });
  });

  it('puts a notice of the expiry in the inbox, where it is acknowledged', async () => {
    const notice = await until('the notice', async () => {
      const { items } = await done('GET', `/notifications?domain=${DOMAIN}&acknowledged=false`);
      return items.find(
        (each: Answer['body']) => each.secretId === secrets.trial.id && each.threshold === 0 && each.channel === 'ui',
      );
    });
    expect(notice).toMatchObject({ state: 'sent', description: 'Trial', applicationName: 'Billing' });
    expect(await done('POST', `/notifications/${notice.id}/acknowledge`)).toMatchObject({ state: 'acknowledged' });
  });

  it('shows the history and an earlier state, and verifies that the history is unchanged', async () => {
    const { items } = await done('GET', `${application}/history?limit=200`);
    expect(
      items.map(({ type }: { type: string }) => type).filter((type: string) => !type.startsWith('ExpiryNotice')),
    ).toEqual([
      'ApplicationRegistered',
      'SecretAdded',
      'SecretAdded',
      'SecretRenewed',
      'OverlapEnded',
      'SecretSuspended',
      'SecretResumed',
      'SecretRevoked',
      'SecretAdded',
      'SecretExpired',
    ]);
    const at = async (instant: string) =>
      (await done('GET', `${application}?asOf=${instant}`)).secrets.map(
        ({ description, authenticates }: Answer['body']) => [description, authenticates],
      );
    expect(await at(instants.beforeRenewal)).toEqual([
      ['Production', [1]],
      ['CI', [1]],
    ]);
    expect(await at(instants.inOverlap)).toEqual([
      ['Production', [2, 1]],
      ['CI', [1]],
    ]);
    expect(await at(new Date().toISOString())).toEqual([
      ['Production', [2]],
      ['CI', []],
      ['Trial', []],
    ]);
    const { streams, broken } = await done('POST', '/history/verify');
    expect(broken).toEqual([]);
    expect(streams).toBeGreaterThanOrEqual(2);
  });

  it('stops on request, and restarts with the same data', async () => {
    const before = await done('GET', `/secrets?domain=${DOMAIN}`);
    const { items: history } = await done('GET', `${application}/history?limit=200`);
    expect(new Set(await system.stop())).toEqual(new Set([0]));
    system = await system.restart();
    await until('readiness', async () => (await fetch(`${system.url}/health/ready`)).status === 200);
    expect([await check(renewed), await check(secrets.production.secret), await check(secrets.ci.secret)]).toEqual([
      200, 401, 401,
    ]);
    const after = await done('GET', `/secrets?domain=${DOMAIN}`);
    const facts = ({ items }: Answer['body']) =>
      items.map(({ lastUsedAt: _at, uses: _uses, lastUsedFrom: _from, ...kept }: Answer['body']) => kept);
    expect(facts(after)).toEqual(facts(before));
    expect((await done('GET', `${application}/history?limit=200`)).items).toEqual(history);
    expect(await done('GET', `/domains/${DOMAIN}`)).toMatchObject({ name: 'Acme', applications: 1 });
    const third = await done('POST', `${application}/secrets`, { description: 'After the restart' });
    expect(await check(third.secret)).toBe(200);
  });
});
