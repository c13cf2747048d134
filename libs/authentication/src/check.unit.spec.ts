import { RekeyError, type ApplicationCredentials, type DomainCredentials } from '@rekey/contracts';
import { applicationIdOf, composeSecret, liveVersions, type Instant, type Lifecycle } from '@rekey/domain';
import { ManualClock, type ViewDocument } from '@rekey/ports';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { Authenticator, type AuthenticatorOptions } from './check';
import { FailureLimiter, type LimiterOptions } from './limiter';
import { REFUSAL_CAUSES, type CheckOutcome, type CheckRequest } from './request';
import { UsageRecorder, type UsageEntry } from './usage';

const NOW_MS = Date.UTC(2027, 5, 1);
const fromNow = (seconds: number): Instant => new Date(NOW_MS + seconds * 1000).toISOString();

const DOMAIN = 'shop';
const CLIENT = 'web';
const APPLICATION_ID = applicationIdOf(DOMAIN, CLIENT);

/** Returns a valid generated value with a lookup id and a random part from two numbers. */
const generated = (lookup: number, random: number): string =>
  composeSecret(String(lookup).padStart(10, '0'), new Uint8Array(32).fill(random));
const lookupOf = (lookup: number): string => String(lookup).padStart(10, '0');
const verifierOf = (value: string): string => `phc-${createHash('sha256').update(value).digest('hex')}`;
const importedLookup = (domainId: string, clientId: string, value: string): string =>
  createHash('sha256').update(`${domainId}|${clientId}|${value}`).digest('hex').slice(0, 10);

const VALUE = generated(1, 1);
const IMPORTED = 'correct horse + battery % staple';

type Secret = ApplicationCredentials['secrets'][number];
type Value = Secret['values'][number];

const valueOf = (value: string, more: Partial<Value> = {}): Value => ({
  version: 1,
  lookupId: value.startsWith('rky_') ? value.slice(4, 14) : importedLookup(DOMAIN, CLIENT, value),
  verifier: verifierOf(value),
  ...more,
});

const secretWith = (more: Partial<Secret> = {}): Secret => ({
  secretId: 'secret-1',
  suspended: false,
  allowedCidrs: [],
  values: [valueOf(VALUE)],
  ...more,
});

const applicationWith = (more: Partial<ApplicationCredentials> = {}): ApplicationCredentials => ({
  _id: `application-${APPLICATION_ID}`,
  position: '5',
  domainId: DOMAIN,
  clientId: CLIENT,
  state: 'active',
  secrets: [secretWith()],
  ...more,
});

const domainWith = (more: Partial<DomainCredentials> = {}): DomainCredentials => ({
  _id: `domain-${DOMAIN}`,
  position: '1',
  state: 'active',
  ...more,
});

/** Returns an authenticator with a fake view and hasher. Tests change documents with `put` and block calls with `gates`. */
const setup = ({
  application = applicationWith(),
  domain = domainWith(),
  limits = {},
  ...more
}: {
  application?: ApplicationCredentials | null;
  domain?: DomainCredentials | null;
  limits?: Partial<LimiterOptions>;
} & Partial<AuthenticatorOptions> = {}) => {
  const clock = new ManualClock(NOW_MS);
  const documents = new Map<string, ViewDocument>();
  const put = (document: ViewDocument | null) => document && documents.set(document._id, document);
  put(application);
  put(domain);
  const calls = { reads: 0, verifies: 0, lookups: 0 };
  const gates: { verify?: Promise<void>; viewDown?: boolean } = {};
  const outcomes: CheckOutcome[] = [];
  const batches: UsageEntry[] = [];
  const usage = new UsageRecorder({ clock, sink: async (batch) => void batches.push(...batch) });
  const limiter = new FailureLimiter(clock, { pairsMax: 100, ...limits });
  const authenticator = new Authenticator({
    view: {
      read: async <D extends ViewDocument>(ids: readonly string[]) => {
        calls.reads += 1;
        if (gates.viewDown) throw new RekeyError('unavailable', 'The view is being built.');
        return ids.map((id) => (documents.get(id) ?? null) as D | null);
      },
    },
    hasher: {
      verify: async (verifier, value) => {
        calls.verifies += 1;
        await gates.verify;
        return verifier === verifierOf(value);
      },
      importedLookupId: (...parts) => {
        calls.lookups += 1;
        return importedLookup(...parts);
      },
    },
    clock,
    limiter,
    usage,
    onChecked: (outcome) => outcomes.push(outcome),
    rememberedMax: 100,
    ...more,
  });
  const check = (clientSecret = VALUE, request: Partial<CheckRequest> = {}) =>
    authenticator.check({ domainId: DOMAIN, clientId: CLIENT, clientSecret, ...request });
  const cause = async (...parts: Parameters<typeof check>) => {
    const result = await check(...parts);
    return result.valid ? 'valid' : result.cause;
  };
  return { authenticator, check, cause, put, clock, calls, gates, outcomes, usage, batches, limiter };
};

describe('a correct value', () => {
  it('is accepted with the application, secret, version and expiry', async () => {
    const end = fromNow(60);
    const { check } = setup({
      application: applicationWith({
        secrets: [secretWith({ values: [valueOf(VALUE, { version: 3, validUntil: end })] })],
      }),
    });
    expect(await check()).toEqual({
      valid: true,
      domainId: DOMAIN,
      clientId: CLIENT,
      applicationId: APPLICATION_ID,
      secretId: 'secret-1',
      version: 3,
      expiresAt: end,
    });
  });

  it('has no expiry if its version has none', async () => {
    expect(await setup().check()).toMatchObject({ valid: true, expiresAt: undefined });
  });

  it('is found among all secrets and versions of the application', async () => {
    const [current, previous, other] = [generated(2, 2), generated(3, 3), generated(4, 4)];
    const { check } = setup({
      application: applicationWith({
        secrets: [
          secretWith({
            secretId: 'renewed',
            values: [valueOf(current, { version: 2 }), valueOf(previous, { version: 1, validUntil: fromNow(60) })],
          }),
          secretWith({ secretId: 'other', values: [valueOf(other)] }),
        ],
      }),
    });
    expect(await check(current)).toMatchObject({ secretId: 'renewed', version: 2 });
    expect(await check(previous)).toMatchObject({ secretId: 'renewed', version: 1, expiresAt: fromNow(60) });
    expect(await check(other)).toMatchObject({ secretId: 'other', version: 1 });
  });

  it('may be an imported value', async () => {
    const { check } = setup({
      application: applicationWith({ secrets: [secretWith({ values: [valueOf(IMPORTED)] })] }),
    });
    expect(await check(IMPORTED)).toMatchObject({ valid: true, secretId: 'secret-1' });
  });

  it('imported into two secrets is accepted for the active one', async () => {
    const values = [valueOf(IMPORTED)];
    const { check } = setup({
      application: applicationWith({
        secrets: [secretWith({ values, suspended: true }), secretWith({ secretId: 'secret-2', values })],
      }),
    });
    expect(await check(IMPORTED)).toMatchObject({ valid: true, secretId: 'secret-2' });
  });
});

describe('a rejected check', () => {
  const wrong = generated(9, 9);
  const sameLookup = generated(1, 9);
  const withSecret = (more: Partial<Secret>) => ({ application: applicationWith({ secrets: [secretWith(more)] }) });
  const cases: [string, Parameters<typeof setup>[0], string, Partial<CheckRequest>, string][] = [
    ['a broken checksum', {}, `${VALUE.slice(0, -1)}!`, {}, 'malformed'],
    ['an empty value', {}, '', {}, 'malformed'],
    ['an invalid client id', {}, VALUE, { clientId: 'é' }, 'malformed'],
    ['an invalid domain id', {}, VALUE, { domainId: 'Shop' }, 'malformed'],
    ['a value that is too long', {}, 'x'.repeat(5000), {}, 'malformed'],
    ['a missing domain', { domain: null }, VALUE, {}, 'unknown_domain'],
    ['another domain', {}, VALUE, { domainId: 'other' }, 'unknown_domain'],
    ['a deleted domain', { domain: domainWith({ state: 'deleted' }) }, VALUE, {}, 'unknown_domain'],
    ['a disabled domain', { domain: domainWith({ state: 'disabled' }) }, VALUE, {}, 'domain_disabled'],
    ['a missing application', { application: null }, VALUE, {}, 'unknown_client'],
    ['another client', {}, VALUE, { clientId: 'WEB' }, 'unknown_client'],
    ['a deleted application', { application: applicationWith({ state: 'deleted' }) }, VALUE, {}, 'unknown_client'],
    [
      'an application with a different client id',
      { application: applicationWith({ clientId: 'b' }) },
      VALUE,
      {},
      'unknown_client',
    ],
    [
      'an application in a different domain',
      { application: applicationWith({ domainId: 'b' }) },
      VALUE,
      {},
      'unknown_client',
    ],
    [
      'a disabled application',
      { application: applicationWith({ state: 'disabled' }) },
      VALUE,
      {},
      'application_disabled',
    ],
    ['an application without secrets', { application: applicationWith({ secrets: [] }) }, VALUE, {}, 'no_match'],
    ['a value that matches none of the secrets', {}, wrong, {}, 'no_match'],
    ['a wrong value in the imported format', {}, 'wrong', {}, 'no_match'],
    ['another value under a known lookup id', {}, sameLookup, {}, 'wrong_value'],
    ['a suspended secret', withSecret({ suspended: true }), VALUE, {}, 'suspended'],
    ['a secret before notBefore', withSecret({ notBefore: fromNow(1) }), VALUE, {}, 'not_yet_valid'],
    ['an expired value', withSecret({ values: [valueOf(VALUE, { validUntil: fromNow(0) })] }), VALUE, {}, 'expired'],
    [
      'an address outside the allowed networks',
      withSecret({ allowedCidrs: ['10.0.0.0/8'] }),
      VALUE,
      { remoteAddress: '192.0.2.1' },
      'address',
    ],
    ['a missing address', withSecret({ allowedCidrs: ['10.0.0.0/8'] }), VALUE, {}, 'address_unknown'],
    [
      'an invalid address',
      withSecret({ allowedCidrs: ['0.0.0.0/0'] }),
      VALUE,
      { remoteAddress: '10.1' },
      'address_unknown',
    ],
  ];

  it.each(cases)(
    'for %s reports the cause to the log and a generic message to the caller',
    async (_what, options, value, request, cause) => {
      const { check, outcomes } = setup(options);
      const result = await check(value, request);
      expect(result).toMatchObject({ valid: false, cause });
      if (result.valid) throw new Error('It was admitted.');
      expect(result.error).toMatchObject({
        code: 'invalid_client_credentials',
        message: 'The client credentials are not valid.',
        details: {},
      });
      expect(outcomes).toMatchObject([{ outcome: cause, limited: false }]);
    },
  );

  it('for a broken document returns `unavailable`', async () => {
    const allOptions = [{ application: applicationWith({ broken: true }) }, { domain: domainWith({ broken: true }) }];
    for (const options of allOptions) {
      const result = await setup(options).check();
      expect(result).toMatchObject({ valid: false, cause: 'broken', error: { code: 'unavailable' } });
    }
  });

  it('is tested for every cause', () => {
    const tested = new Set([...cases.map((entry) => entry[4]), 'broken']);
    expect([...REFUSAL_CAUSES].filter((cause) => !tested.has(cause))).toEqual([]);
  });

  it('for malformed input reads nothing', async () => {
    const { check, calls } = setup();
    for (const [, , value, request] of cases.filter((entry) => entry[4] === 'malformed')) await check(value, request);
    expect(calls).toEqual({ reads: 0, verifies: 0, lookups: 0 });
  });

  it('computes a slow hash only for a wrong value with a known lookup id', async () => {
    for (const [, options, value, request, cause] of cases) {
      const { check, calls } = setup(options);
      await check(value, request);
      expect({ cause, verifies: calls.verifies }).toEqual({ cause, verifies: cause === 'wrong_value' ? 1 : 0 });
    }
  });

  it('reads both documents in one call, for every cause', async () => {
    for (const [, options, value, request] of cases.filter((entry) => entry[4] !== 'malformed')) {
      const { check, calls } = setup(options);
      await check(value, request);
      expect(calls.reads).toBe(1);
    }
  });

  it('does not log unverified names', async () => {
    const { check, outcomes } = setup();
    await check('misplaced-1', { clientId: 'misplaced-2' });
    await check('misplaced-1', { domainId: 'misplaced-3' });
    expect(JSON.stringify(outcomes)).not.toMatch(/misplaced/);
  });

  it('logs the secret if it is known', async () => {
    const { check, outcomes } = setup({
      application: applicationWith({ secrets: [secretWith({ suspended: true })] }),
    });
    await check(VALUE, { remoteAddress: '10.0.0.1' });
    expect(outcomes).toEqual([
      {
        outcome: 'suspended',
        limited: false,
        domainId: DOMAIN,
        clientId: CLIENT,
        applicationId: APPLICATION_ID,
        secretId: 'secret-1',
        version: 1,
        source: '10.0.0.1',
      },
    ]);
  });

  it('does not reveal the presented value', async () => {
    const { check, outcomes } = setup();
    const results = [await check(wrong), await check('misplaced'), await check(sameLookup), await check(VALUE)];
    const shown = JSON.stringify([outcomes, results]);
    for (const value of [wrong, 'misplaced', sameLookup, VALUE, verifierOf(VALUE)]) expect(shown).not.toContain(value);
  });
});

describe('time', () => {
  it('ends a value to the millisecond, even if it is cached', async () => {
    const { cause, clock } = setup({
      application: applicationWith({ secrets: [secretWith({ values: [valueOf(VALUE, { validUntil: fromNow(1) })] })] }),
    });
    clock.advance(999);
    expect(await cause()).toBe('valid');
    clock.advance(1);
    expect(await cause()).toBe('expired');
  });

  it('starts a secret to the millisecond', async () => {
    const { cause, clock } = setup({
      application: applicationWith({ secrets: [secretWith({ notBefore: fromNow(1) })] }),
    });
    clock.advance(999);
    expect(await cause()).toBe('not_yet_valid');
    clock.advance(1);
    expect(await cause()).toBe('valid');
  });

  it('ends an overlap while the current value stays live', async () => {
    const old = generated(2, 2);
    const { cause, clock } = setup({
      application: applicationWith({
        secrets: [secretWith({ values: [valueOf(VALUE, { version: 2 }), valueOf(old, { validUntil: fromNow(10) })] })],
      }),
    });
    expect([await cause(old), await cause(VALUE)]).toEqual(['valid', 'valid']);
    clock.advance(10_000);
    expect([await cause(old), await cause(VALUE)]).toEqual(['expired', 'valid']);
  });
});

describe('allowed networks', () => {
  const { cause } = setup({
    application: applicationWith({ secrets: [secretWith({ allowedCidrs: ['10.0.0.0/8', '2001:db8::/32'] })] }),
  });

  it.each([
    ['10.1.2.3', 'valid'],
    ['::ffff:10.1.2.3', 'valid'],
    ['2001:db8::7', 'valid'],
    ['11.0.0.1', 'address'],
    ['2001:db9::7', 'address'],
    ['10.1.2.3.4', 'address_unknown'],
  ])('return for address %s: %s', async (remoteAddress, expected) => {
    expect(await cause(VALUE, { remoteAddress })).toBe(expected);
  });

  it('are compared with the address on every check, even if the match is cached', async () => {
    expect(await cause(VALUE, { remoteAddress: '10.0.0.1' })).toBe('valid');
    expect(await cause(VALUE, { remoteAddress: '192.0.2.1' })).toBe('address');
  });

  it('never make a check throw, for any address text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (remoteAddress) => {
        expect(await cause(VALUE, { remoteAddress })).toMatch(/^(address|address_unknown)$/);
      }),
    );
  });
});

describe('the cache of matches', () => {
  it('saves only the slow hash', async () => {
    const { check, calls } = setup();
    for (let index = 0; index < 5; index++) expect(await check()).toMatchObject({ valid: true });
    expect(calls).toMatchObject({ reads: 5, verifies: 1 });
  });

  it('does not contain mismatches', async () => {
    const { check, calls } = setup();
    for (let index = 0; index < 3; index++) await check(generated(1, 9));
    expect(calls.verifies).toBe(3);
  });

  it.each([
    ['revoked', { application: applicationWith({ secrets: [] }) }, 'no_match'],
    ['suspended', { application: applicationWith({ secrets: [secretWith({ suspended: true })] }) }, 'suspended'],
    ['of a disabled application', { application: applicationWith({ state: 'disabled' }) }, 'application_disabled'],
    ['of a deleted application', { application: applicationWith({ state: 'deleted' }) }, 'unknown_client'],
    ['of a disabled domain', { domain: domainWith({ state: 'disabled' }) }, 'domain_disabled'],
    ['of a deleted domain', { domain: domainWith({ state: 'deleted' }) }, 'unknown_domain'],
  ] as const)('does not accept a secret that is now %s', async (_what, change, expected) => {
    const { cause, put } = setup();
    expect(await cause()).toBe('valid');
    put('application' in change ? change.application : change.domain);
    expect(await cause()).toBe(expected);
  });

  it('does not accept a value after the verifier with the same lookup id changed', async () => {
    const { cause, put } = setup();
    expect(await cause()).toBe('valid');
    const renewed = { ...valueOf(VALUE), verifier: verifierOf(generated(1, 2)) };
    put(applicationWith({ secrets: [secretWith({ values: [renewed] })] }));
    expect(await cause()).toBe('wrong_value');
  });

  it('computes once for concurrent checks', async () => {
    const { check, calls, gates } = setup();
    let open: () => void = () => undefined;
    gates.verify = new Promise<void>((resolve) => (open = resolve));
    const checks = Array.from({ length: 20 }, () => check());
    await new Promise((resolve) => setImmediate(resolve));
    open();
    const results = await Promise.all(checks);
    expect(results.every((result) => result.valid)).toBe(true);
    expect(calls.verifies).toBe(1);
  });

  it('does not contain a failed computation', async () => {
    let failing = true;
    const { check, outcomes } = setup({
      hasher: {
        verify: async () => {
          if (failing) throw new Error('No memory for Argon2.');
          return true;
        },
        importedLookupId: importedLookup,
      },
    });
    await expect(check()).rejects.toThrow('No memory');
    expect(outcomes).toMatchObject([{ outcome: 'unavailable' }]);
    failing = false;
    expect(await check()).toMatchObject({ valid: true });
  });
});

describe('a revocation', () => {
  it('applies to every later check, even while an earlier one still computes the same hash', async () => {
    const { check, cause, put, gates } = setup();
    let open: () => void = () => undefined;
    gates.verify = new Promise<void>((resolve) => (open = resolve));
    const earlier = check();
    await new Promise((resolve) => setImmediate(resolve));
    put(applicationWith({ secrets: [] }));
    const later = cause();
    expect(await later).toBe('no_match');
    open();
    expect(await earlier).toMatchObject({ valid: true });
    expect(await cause()).toBe('no_match');
  });

  it('applies to the next check, in any sequence of revoking and restoring', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }), async (revokedAt) => {
        const { cause, put } = setup();
        for (const revoked of revokedAt) {
          put(applicationWith({ secrets: revoked ? [] : [secretWith()] }));
          expect(await cause()).toBe(revoked ? 'no_match' : 'valid');
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('an unavailable view', () => {
  it('makes every check fail as unavailable, even if the match is cached', async () => {
    const { check, gates, outcomes } = setup();
    expect(await check()).toMatchObject({ valid: true });
    gates.viewDown = true;
    await expect(check()).rejects.toMatchObject({ code: 'unavailable' });
    await expect(check(generated(9, 9))).rejects.toMatchObject({ code: 'unavailable' });
    expect(outcomes.slice(1)).toMatchObject([{ outcome: 'unavailable' }, { outcome: 'unavailable' }]);
    gates.viewDown = false;
    expect(await check()).toMatchObject({ valid: true });
  });
});

describe('the limiter', () => {
  const limits = { failuresMax: 3, windowMs: 60_000 };

  it('replaces rejections with `rate_limited` and the seconds to wait', async () => {
    const { check, outcomes } = setup({ limits });
    const codes: string[] = [];
    for (let index = 0; index < 5; index++) {
      const result = await check(generated(9, index), { remoteAddress: '10.0.0.1' });
      if (!result.valid) codes.push(result.error.code);
    }
    const refused = 'invalid_client_credentials';
    expect(codes).toEqual([refused, refused, refused, 'rate_limited', 'rate_limited']);
    const last = await check(generated(9, 9), { remoteAddress: '10.0.0.1' });
    expect(last).toMatchObject({ cause: 'no_match', error: { details: { retryAfterSeconds: 60 } } });
    expect(outcomes.map(({ limited }) => limited)).toEqual([false, false, false, true, true, true]);
  });

  it('never rejects a correct value, cached or not, generated or imported', async () => {
    const other = generated(2, 2);
    const { check } = setup({
      limits,
      application: applicationWith({
        secrets: [
          secretWith({ values: [valueOf(VALUE)] }),
          secretWith({ values: [valueOf(other)] }),
          secretWith({ values: [valueOf(IMPORTED)] }),
        ],
      }),
    });
    expect(await check(VALUE)).toMatchObject({ valid: true });
    for (let index = 0; index < 1000; index++) await check(generated(index % 2 ? 1 : 9, 9));
    for (const value of [VALUE, other, IMPORTED]) expect(await check(value)).toMatchObject({ valid: true });
  });

  it('counts unknown clients and malformed values together per source', async () => {
    const { check, limiter } = setup({ limits });
    for (let index = 0; index < 1000; index++) await check(VALUE, { clientId: `made-up-${index}` });
    await check('rky_broken');
    expect(limiter.size).toBe(1);
    expect(await check(VALUE, { clientId: 'one-more' })).toMatchObject({ error: { code: 'rate_limited' } });
  });

  it('counts by the source given by the caller', async () => {
    const { check, outcomes } = setup({ limits });
    for (let index = 0; index < 4; index++)
      await check(generated(9, 9), { remoteAddress: `10.0.0.${index}`, limiterSource: 'gateway-a' });
    expect(outcomes.map(({ limited, source }) => [limited, source]).at(-1)).toEqual([true, 'gateway-a']);
  });

  it('does not count checks that could not be completed', async () => {
    const { check, gates, limiter } = setup({ application: applicationWith({ broken: true }) });
    await check();
    gates.viewDown = true;
    await expect(check()).rejects.toThrow();
    expect(limiter.size).toBe(0);
  });

  it('queues the imported values of one client, and accepts them', async () => {
    const values = Array.from({ length: 6 }, (_, index) => `own value ${index}`);
    let running = 0;
    let most = 0;
    const { check } = setup({
      limits: { slowConcurrency: 2 },
      application: applicationWith({
        secrets: values.map((value, index) => secretWith({ secretId: `s${index}`, values: [valueOf(value)] })),
      }),
      hasher: {
        verify: async (verifier, value) => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
          return verifier === verifierOf(value);
        },
        importedLookupId: importedLookup,
      },
    });
    const results = await Promise.all(values.map((value) => check(value)));
    expect(results.every((result) => result.valid)).toBe(true);
    expect(most).toBe(2);
  });
});

describe('usage', () => {
  it('counts only accepted checks, with time and address', async () => {
    const { check, usage, batches, clock } = setup();
    await check(VALUE, { remoteAddress: '10.0.0.1' });
    clock.advance(2_000);
    await check(VALUE, { remoteAddress: '::ffff:10.0.0.2' });
    await check(generated(9, 9), { remoteAddress: '10.0.0.3' });
    await usage.stop();
    expect(batches).toEqual([{ id: `${APPLICATION_ID}.secret-1`, count: 2, lastUsedAt: fromNow(2), from: '10.0.0.2' }]);
  });
});

describe('HTTP Basic', () => {
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  const own = applicationWith({ secrets: [secretWith({ values: [valueOf(IMPORTED)] })] });

  it.each([
    ['raw', `${CLIENT}:${IMPORTED.replace(' + ', ' - ')}`, IMPORTED.replace(' + ', ' - ')],
    ['percent-encoded', `${CLIENT}:${encodeURIComponent(IMPORTED)}`, IMPORTED],
    ['form-encoded', `${CLIENT}:${new URLSearchParams({ v: IMPORTED }).toString().slice(2)}`, IMPORTED],
    ['raw with a plus sign', `${CLIENT}:a+b`, 'a+b'],
    ['raw with text that looks like an escape', `${CLIENT}:a%41b`, 'a%41b'],
  ])('accepts credentials that are %s', async (_how, text, value) => {
    const { authenticator } = setup({ application: { ...own, secrets: [secretWith({ values: [valueOf(value)] })] } });
    expect(await authenticator.checkBasic(DOMAIN, basic(text), {})).toMatchObject({ valid: true, clientId: CLIENT });
  });

  it('does not decode credentials twice', async () => {
    const { authenticator } = setup({
      application: { ...own, secrets: [secretWith({ values: [valueOf('50%')] })] },
    });
    const result = await authenticator.checkBasic(DOMAIN, basic(`${CLIENT}:50%252525`), {});
    expect(result).toMatchObject({ valid: false });
  });

  it('counts and reports a rejection once, for any number of readings', async () => {
    const { authenticator, outcomes, limiter } = setup({ application: own, limits: { failuresMax: 1 } });
    const result = await authenticator.checkBasic(DOMAIN, basic(`${CLIENT}:a%41b`), { remoteAddress: '10.0.0.1' });
    expect(result).toMatchObject({ valid: false, cause: 'no_match', error: { code: 'invalid_client_credentials' } });
    expect(outcomes).toHaveLength(1);
    expect(limiter.size).toBe(1);
  });

  it('reports the reading that matches a known client', async () => {
    const { authenticator, outcomes } = setup();
    await authenticator.checkBasic(DOMAIN, basic(`${encodeURIComponent('wéb')}:x`), {});
    await authenticator.checkBasic(DOMAIN, basic(`w%65b:${VALUE}x`), {});
    await authenticator.checkBasic(DOMAIN, basic('w%65b:x'), {});
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['unknown_client', 'malformed', 'no_match']);
  });

  it('rejects a header without credentials and reads nothing', async () => {
    const { authenticator, calls } = setup();
    for (const header of [undefined, '', 'Bearer x', 'Basic !', basic('no colon')])
      expect(await authenticator.checkBasic(DOMAIN, header, {})).toMatchObject({ valid: false, cause: 'malformed' });
    expect(calls.reads).toBe(0);
  });
});

describe('any input', () => {
  it('is accepted or rejected, and only the correct value is accepted', async () => {
    const { check } = setup();
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom(VALUE, CLIENT, DOMAIN, ''));
    await fc.assert(
      fc.asyncProperty(text, text, text, text, async (domainId, clientId, clientSecret, remoteAddress) => {
        const result = await check(clientSecret, { domainId, clientId, remoteAddress });
        expect(result.valid).toBe(domainId === DOMAIN && clientId === CLIENT && clientSecret === VALUE);
      }),
      { numRuns: 500 },
    );
  });

  it('that differs from the correct value in one character is rejected', async () => {
    const { check } = setup();
    const character = fc.constantFrom(...'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_');
    await fc.assert(
      fc.asyncProperty(fc.nat(VALUE.length - 1), character, async (place, put) => {
        fc.pre(VALUE[place] !== put);
        const result = await check(VALUE.slice(0, place) + put + VALUE.slice(place + 1));
        expect(result.valid).toBe(false);
      }),
    );
  });

  it('needs only one slow hash among many secrets', async () => {
    const values = Array.from({ length: 20 }, (_, index) => generated(100 + index, index));
    const { check, calls } = setup({
      application: applicationWith({
        secrets: values.map((value, index) =>
          secretWith({ secretId: `s${index}`, values: [valueOf(value, { lookupId: lookupOf(100 + index) })] }),
        ),
      }),
    });
    for (const [index, value] of values.entries()) expect(await check(value)).toMatchObject({ secretId: `s${index}` });
    expect(calls.verifies).toBe(20);
  });
});

it('accepts exactly the versions that liveVersions returns', async () => {
  const instant = fc.option(fc.integer({ min: -3, max: 3 }).map(fromNow), { nil: undefined });
  const lifecycle: fc.Arbitrary<Lifecycle> = fc.record({
    status: fc.constantFrom('active' as const, 'suspended' as const),
    version: fc.constant(2),
    notBefore: instant,
    expiresAt: instant,
    previousValidUntil: instant,
  });
  const PREVIOUS = generated(2, 2);
  await fc.assert(
    fc.asyncProperty(lifecycle, async (drawn) => {
      const { status, notBefore, expiresAt, previousValidUntil } = drawn;
      const current = valueOf(VALUE, { version: 2, ...(expiresAt && { validUntil: expiresAt }) });
      const previous = previousValidUntil && valueOf(PREVIOUS, { version: 1, validUntil: previousValidUntil });
      const secret = secretWith({
        suspended: status === 'suspended',
        ...(notBefore && { notBefore }),
        values: previous ? [current, previous] : [current],
      });
      const { check } = setup({ application: applicationWith({ secrets: [secret] }) });
      const accepted: number[] = [];
      for (const value of [VALUE, PREVIOUS]) {
        const result = await check(value);
        if (result.valid) accepted.push(result.version);
      }
      expect(accepted).toEqual(liveVersions(drawn, fromNow(0)));
    }),
  );
});
