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

/** A value that Rekey could have made: lookup id and random part from two numbers. */
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

/** Stands for the view and the hash: documents that a test can change, and gates before what a test wants to hold. */
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

describe('a right secret', () => {
  it('is admitted, and the answer names application, secret, version and end', async () => {
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

  it('has no end where its value has none', async () => {
    expect(await setup().check()).toMatchObject({ valid: true, expiresAt: undefined });
  });

  it('is found among all secrets and values of the application', async () => {
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

  it('may be a value of the caller’s own', async () => {
    const { check } = setup({
      application: applicationWith({ secrets: [secretWith({ values: [valueOf(IMPORTED)] })] }),
    });
    expect(await check(IMPORTED)).toMatchObject({ valid: true, secretId: 'secret-1' });
  });

  it('of its own that was given to two secrets is admitted as the one that may be used', async () => {
    const values = [valueOf(IMPORTED)];
    const { check } = setup({
      application: applicationWith({
        secrets: [secretWith({ values, suspended: true }), secretWith({ secretId: 'secret-2', values })],
      }),
    });
    expect(await check(IMPORTED)).toMatchObject({ valid: true, secretId: 'secret-2' });
  });
});

describe('a refusal', () => {
  const wrong = generated(9, 9);
  const sameLookup = generated(1, 9);
  const withSecret = (more: Partial<Secret>) => ({ application: applicationWith({ secrets: [secretWith(more)] }) });
  const cases: [string, Parameters<typeof setup>[0], string, Partial<CheckRequest>, string][] = [
    ['a broken checksum', {}, `${VALUE.slice(0, -1)}!`, {}, 'malformed'],
    ['no secret', {}, '', {}, 'malformed'],
    ['a client id that cannot be', {}, VALUE, { clientId: 'é' }, 'malformed'],
    ['a domain id that cannot be', {}, VALUE, { domainId: 'Shop' }, 'malformed'],
    ['a value longer than any', {}, 'x'.repeat(5000), {}, 'malformed'],
    ['no domain', { domain: null }, VALUE, {}, 'unknown_domain'],
    ['another domain', {}, VALUE, { domainId: 'other' }, 'unknown_domain'],
    ['a deleted domain', { domain: domainWith({ state: 'deleted' }) }, VALUE, {}, 'unknown_domain'],
    ['a disabled domain', { domain: domainWith({ state: 'disabled' }) }, VALUE, {}, 'domain_disabled'],
    ['no application', { application: null }, VALUE, {}, 'unknown_client'],
    ['another client', {}, VALUE, { clientId: 'WEB' }, 'unknown_client'],
    ['a deleted application', { application: applicationWith({ state: 'deleted' }) }, VALUE, {}, 'unknown_client'],
    [
      'an application of another name',
      { application: applicationWith({ clientId: 'b' }) },
      VALUE,
      {},
      'unknown_client',
    ],
    [
      'an application of another domain',
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
    ['no secrets', { application: applicationWith({ secrets: [] }) }, VALUE, {}, 'no_match'],
    ['a value that is none of its secrets', {}, wrong, {}, 'no_match'],
    ['a wrong value of the caller’s own', {}, 'wrong', {}, 'no_match'],
    ['another value under a known lookup id', {}, sameLookup, {}, 'wrong_value'],
    ['a suspended secret', withSecret({ suspended: true }), VALUE, {}, 'suspended'],
    ['a secret whose time has not come', withSecret({ notBefore: fromNow(1) }), VALUE, {}, 'not_yet_valid'],
    [
      'a value whose time is over',
      withSecret({ values: [valueOf(VALUE, { validUntil: fromNow(0) })] }),
      VALUE,
      {},
      'expired',
    ],
    [
      'an address outside',
      withSecret({ allowedCidrs: ['10.0.0.0/8'] }),
      VALUE,
      { remoteAddress: '192.0.2.1' },
      'address',
    ],
    ['no address', withSecret({ allowedCidrs: ['10.0.0.0/8'] }), VALUE, {}, 'address_unknown'],
    [
      'what is no address',
      withSecret({ allowedCidrs: ['0.0.0.0/0'] }),
      VALUE,
      { remoteAddress: '10.1' },
      'address_unknown',
    ],
  ];

  it.each(cases)(
    'of %s has its cause for the log, and one text for the caller',
    async (_what, world, value, request, cause) => {
      const { check, outcomes } = setup(world);
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

  it('for a broken document is no refusal of the credentials but `unavailable`', async () => {
    const worlds = [{ application: applicationWith({ broken: true }) }, { domain: domainWith({ broken: true }) }];
    for (const world of worlds) {
      const result = await setup(world).check();
      expect(result).toMatchObject({ valid: false, cause: 'broken', error: { code: 'unavailable' } });
    }
  });

  it('has a test for every cause', () => {
    const tested = new Set([...cases.map((entry) => entry[4]), 'broken']);
    expect([...REFUSAL_CAUSES].filter((cause) => !tested.has(cause))).toEqual([]);
  });

  it('of what breaks our checksum or could not exist reads nothing', async () => {
    const { check, calls } = setup();
    for (const [, , value, request] of cases.filter((entry) => entry[4] === 'malformed')) await check(value, request);
    expect(calls).toEqual({ reads: 0, verifies: 0, lookups: 0 });
  });

  it('costs no slow hash but for another value under a known lookup id', async () => {
    for (const [, world, value, request, cause] of cases) {
      const { check, calls } = setup(world);
      await check(value, request);
      expect({ cause, verifies: calls.verifies }).toEqual({ cause, verifies: cause === 'wrong_value' ? 1 : 0 });
    }
  });

  it('reads both documents at once, whatever is wrong', async () => {
    for (const [, world, value, request] of cases.filter((entry) => entry[4] !== 'malformed')) {
      const { check, calls } = setup(world);
      await check(value, request);
      expect(calls.reads).toBe(1);
    }
  });

  it('names nobody in the log whom only a stranger named', async () => {
    const { check, outcomes } = setup();
    await check('misplaced-1', { clientId: 'misplaced-2' });
    await check('misplaced-1', { domainId: 'misplaced-3' });
    expect(JSON.stringify(outcomes)).not.toMatch(/misplaced/);
  });

  it('names the secret in the log where it is known', async () => {
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

  it('never shows the value that was presented', async () => {
    const { check, outcomes } = setup();
    const results = [await check(wrong), await check('misplaced'), await check(sameLookup), await check(VALUE)];
    const shown = JSON.stringify([outcomes, results]);
    for (const value of [wrong, 'misplaced', sameLookup, VALUE, verifierOf(VALUE)]) expect(shown).not.toContain(value);
  });
});

describe('time', () => {
  it('ends a value to the millisecond, remembered or not', async () => {
    const { cause, clock } = setup({
      application: applicationWith({ secrets: [secretWith({ values: [valueOf(VALUE, { validUntil: fromNow(1) })] })] }),
    });
    clock.advance(999);
    expect(await cause()).toBe('valid');
    clock.advance(1);
    expect(await cause()).toBe('expired');
  });

  it('begins a secret to the millisecond', async () => {
    const { cause, clock } = setup({
      application: applicationWith({ secrets: [secretWith({ notBefore: fromNow(1) })] }),
    });
    clock.advance(999);
    expect(await cause()).toBe('not_yet_valid');
    clock.advance(1);
    expect(await cause()).toBe('valid');
  });

  it('ends an overlap, and the value after it goes on', async () => {
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

describe('networks', () => {
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
  ])('%s is %s', async (remoteAddress, expected) => {
    expect(await cause(VALUE, { remoteAddress })).toBe(expected);
  });

  it('are held against the address on every check, remembered or not', async () => {
    expect(await cause(VALUE, { remoteAddress: '10.0.0.1' })).toBe('valid');
    expect(await cause(VALUE, { remoteAddress: '192.0.2.1' })).toBe('address');
  });

  it('never make a check fail, whatever the address text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (remoteAddress) => {
        expect(await cause(VALUE, { remoteAddress })).toMatch(/^(address|address_unknown)$/);
      }),
    );
  });
});

describe('what is remembered', () => {
  it('spares the slow hash, and nothing else', async () => {
    const { check, calls } = setup();
    for (let index = 0; index < 5; index++) expect(await check()).toMatchObject({ valid: true });
    expect(calls).toMatchObject({ reads: 5, verifies: 1 });
  });

  it('is no mismatch', async () => {
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
  ] as const)('does not outlive that the secret is %s', async (_what, change, expected) => {
    const { cause, put } = setup();
    expect(await cause()).toBe('valid');
    put('application' in change ? change.application : change.domain);
    expect(await cause()).toBe(expected);
  });

  it('does not answer for a renewed verifier under the same lookup id', async () => {
    const { cause, put } = setup();
    expect(await cause()).toBe('valid');
    const renewed = { ...valueOf(VALUE), verifier: verifierOf(generated(1, 2)) };
    put(applicationWith({ secrets: [secretWith({ values: [renewed] })] }));
    expect(await cause()).toBe('wrong_value');
  });

  it('is one computation for all who ask at the same time', async () => {
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

  it('is nothing where the hash could not be computed', async () => {
    let away = true;
    const { check, outcomes } = setup({
      hasher: {
        verify: async () => {
          if (away) throw new Error('No memory for Argon2.');
          return true;
        },
        importedLookupId: importedLookup,
      },
    });
    await expect(check()).rejects.toThrow('No memory');
    expect(outcomes).toMatchObject([{ outcome: 'unavailable' }]);
    away = false;
    expect(await check()).toMatchObject({ valid: true });
  });
});

describe('a revocation', () => {
  it('holds for every check received after it, while an earlier one still computes the same hash', async () => {
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

  it('between look-up and answer of one check leaves nothing behind for the next', async () => {
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

describe('a view that may not be trusted', () => {
  it('gives neither yes nor no, also for what is remembered', async () => {
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

  it('turns wrong answers into `rate_limited`, with the seconds to wait', async () => {
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

  it('never keeps a right secret out, remembered or not, generated or imported', async () => {
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

  it('counts unknown clients and malformed values of a source together', async () => {
    const { check, limiter } = setup({ limits });
    for (let index = 0; index < 1000; index++) await check(VALUE, { clientId: `made-up-${index}` });
    await check('rky_broken');
    expect(limiter.size).toBe(1);
    expect(await check(VALUE, { clientId: 'one-more' })).toMatchObject({ error: { code: 'rate_limited' } });
  });

  it('counts by the source that the caller names', async () => {
    const { check, outcomes } = setup({ limits });
    for (let index = 0; index < 4; index++)
      await check(generated(9, 9), { remoteAddress: `10.0.0.${index}`, limiterSource: 'gateway-a' });
    expect(outcomes.map(({ limited, source }) => [limited, source]).at(-1)).toEqual([true, 'gateway-a']);
  });

  it('does not count what was neither right nor wrong', async () => {
    const { check, gates, limiter } = setup({ application: applicationWith({ broken: true }) });
    await check();
    gates.viewDown = true;
    await expect(check()).rejects.toThrow();
    expect(limiter.size).toBe(0);
  });

  it('lets an imported value of one client wait for its turn, and finds it right', async () => {
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
  it('counts what was admitted, with time and address, and nothing else', async () => {
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
    ['raw with a plus', `${CLIENT}:a+b`, 'a+b'],
    ['raw with what looks like an escape', `${CLIENT}:a%41b`, 'a%41b'],
  ])('takes credentials %s', async (_how, text, value) => {
    const { authenticator } = setup({ application: { ...own, secrets: [secretWith({ values: [valueOf(value)] })] } });
    expect(await authenticator.checkBasic(DOMAIN, basic(text), {})).toMatchObject({ valid: true, clientId: CLIENT });
  });

  it('does not decode twice', async () => {
    const { authenticator } = setup({
      application: { ...own, secrets: [secretWith({ values: [valueOf('50%')] })] },
    });
    const result = await authenticator.checkBasic(DOMAIN, basic(`${CLIENT}:50%252525`), {});
    expect(result).toMatchObject({ valid: false });
  });

  it('counts and tells a refusal once, however many readings there were', async () => {
    const { authenticator, outcomes, limiter } = setup({ application: own, limits: { failuresMax: 1 } });
    const result = await authenticator.checkBasic(DOMAIN, basic(`${CLIENT}:a%41b`), { remoteAddress: '10.0.0.1' });
    expect(result).toMatchObject({ valid: false, cause: 'no_match', error: { code: 'invalid_client_credentials' } });
    expect(outcomes).toHaveLength(1);
    expect(limiter.size).toBe(1);
  });

  it('tells of the reading that came to a known client', async () => {
    const { authenticator, outcomes } = setup();
    await authenticator.checkBasic(DOMAIN, basic(`${encodeURIComponent('wéb')}:x`), {});
    await authenticator.checkBasic(DOMAIN, basic(`w%65b:${VALUE}x`), {});
    await authenticator.checkBasic(DOMAIN, basic('w%65b:x'), {});
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['unknown_client', 'malformed', 'no_match']);
  });

  it('refuses what holds no credentials without a read', async () => {
    const { authenticator, calls } = setup();
    for (const header of [undefined, '', 'Bearer x', 'Basic !', basic('no colon')])
      expect(await authenticator.checkBasic(DOMAIN, header, {})).toMatchObject({ valid: false, cause: 'malformed' });
    expect(calls.reads).toBe(0);
  });
});

describe('any input', () => {
  it('is answered with yes or no, and yes only to the right value', async () => {
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

  it('that differs from the right value in one character is refused', async () => {
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

  it('finds each of many secrets by its lookup id with one slow hash', async () => {
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

it('accepts exactly the versions that liveVersions lists', async () => {
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
