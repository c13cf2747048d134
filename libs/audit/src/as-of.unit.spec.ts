import { ManualClock } from '@rekey/ports';
import {
  APPLICATION,
  MemoryHistory,
  SECRET,
  VERIFIER,
  domainCreated,
  ofApplication,
  registered,
  secretAdded,
} from './audit.testing';
import { applicationAsOf, type ApplicationAsOf } from './as-of';

const at = (text: string) => new Date(text).toISOString();
const NOW = at('2027-06-01T00:00Z');
const SECOND = '44444444-4444-4444-8444-444444444444';

const history = new MemoryHistory().write(
  domainCreated('shop', at('2027-01-01T00:00Z')),
  registered(at('2027-01-02T00:00Z')),
  secretAdded(at('2027-01-03T00:00Z'), { expiresAt: at('2027-01-20T00:00Z') }),
  ofApplication('SecretRenewed', at('2027-01-10T00:00Z'), {
    secretId: SECRET,
    version: 2,
    verifier: VERIFIER,
    lookupId: '0000000001',
    expirySource: 'none',
    previousValidUntil: at('2027-01-12T00:00Z'),
    expiresAt: at('2027-02-10T00:00Z'),
  }),
  secretAdded(at('2027-01-15T00:00Z'), {
    secretId: SECOND,
    description: 'second',
    notBefore: at('2027-01-16T00:00Z'),
    allowedCidrs: ['10.0.0.0/8'],
  }),
  ofApplication('SecretSuspended', at('2027-01-17T00:00Z'), { secretId: SECOND }),
  ofApplication('ApplicationDisabled', at('2027-01-18T00:00Z')),
  ofApplication('ApplicationEnabled', at('2027-01-19T00:00Z')),
  ofApplication('SecretResumed', at('2027-01-19T00:00Z'), { secretId: SECOND }),
  { ...domainCreated('shop', at('2027-01-21T00:00Z')), type: 'DomainDisabled', data: { domainId: 'shop' } },
  { ...domainCreated('shop', at('2027-01-22T00:00Z')), type: 'DomainEnabled', data: { domainId: 'shop' } },
  ofApplication('SecretRevoked', at('2027-03-01T00:00Z'), { secretId: SECRET, reason: 'keyCompromise' }),
  ofApplication('ApplicationDeleted', at('2027-04-01T00:00Z')),
  {
    ...registered(at('2027-05-01T00:00Z')),
    data: { applicationId: APPLICATION, domainId: 'shop', clientId: 'web', name: 'Web again', contacts: [] },
  },
  { ...domainCreated('shop', at('2027-05-20T00:00Z')), type: 'DomainDeleted', data: { domainId: 'shop' } },
);

const asOf = (instant: string, domainId = 'shop'): Promise<ApplicationAsOf> =>
  applicationAsOf(
    { store: history, clock: new ManualClock(Date.parse(NOW)) },
    { domainId, applicationId: APPLICATION },
    at(instant),
  );

const secrets = async (instant: string) =>
  (await asOf(instant)).secrets.map(({ description, status, version, authenticates }) => [
    description,
    status,
    version,
    authenticates,
  ]);

describe('an application as of an instant', () => {
  it.each([
    // Case, instant, and the secrets with their live versions.
    ['before the first secret', '2027-01-02T23:59:59.999Z', []],
    ['the instant of the first secret', '2027-01-03T00:00Z', [['first', 'active', 1, [1]]]],
    ['just before a renewal', '2027-01-09T23:59:59.999Z', [['first', 'active', 1, [1]]]],
    ['the instant of the renewal', '2027-01-10T00:00Z', [['first', 'active', 2, [2, 1]]]],
    ['the last millisecond of the overlap', '2027-01-11T23:59:59.999Z', [['first', 'active', 2, [2, 1]]]],
    ['the end of the overlap', '2027-01-12T00:00Z', [['first', 'active', 2, [2]]]],
    [
      'before the start of a secret',
      '2027-01-15T12:00Z',
      [
        ['first', 'active', 2, [2]],
        ['second', 'pending', 1, []],
      ],
    ],
    [
      'the start of a secret',
      '2027-01-16T00:00Z',
      [
        ['first', 'active', 2, [2]],
        ['second', 'active', 1, [1]],
      ],
    ],
    [
      'a suspension',
      '2027-01-17T00:00Z',
      [
        ['first', 'active', 2, [2]],
        ['second', 'suspended', 1, []],
      ],
    ],
    [
      'a disabled application',
      '2027-01-18T00:00Z',
      [
        ['first', 'active', 2, []],
        ['second', 'suspended', 1, []],
      ],
    ],
    [
      'a disabled domain',
      '2027-01-21T00:00Z',
      [
        ['first', 'active', 2, []],
        ['second', 'active', 1, []],
      ],
    ],
    [
      'the last millisecond of a value',
      '2027-02-09T23:59:59.999Z',
      [
        ['first', 'active', 2, [2]],
        ['second', 'active', 1, [1]],
      ],
    ],
    [
      'an expiry, even if it is not recorded',
      '2027-02-10T00:00Z',
      [
        ['first', 'expired', 2, []],
        ['second', 'active', 1, [1]],
      ],
    ],
    [
      'a revocation',
      '2027-03-01T00:00Z',
      [
        ['first', 'revoked', 2, []],
        ['second', 'active', 1, [1]],
      ],
    ],
    ['the deletion of the application', '2027-04-01T00:00Z', []],
    ['a new registration of the application', '2027-05-01T00:00Z', []],
  ])('returns each secret and its live versions: %s', async (_what, instant, expected) => {
    expect(await secrets(instant)).toEqual(expected);
  });

  it('returns active while only the previous version is live, and expired after the overlap', async () => {
    const short = new MemoryHistory().write(
      domainCreated('shop', at('2027-01-01T00:00Z')),
      registered(at('2027-01-02T00:00Z')),
      secretAdded(at('2027-01-03T00:00Z')),
      ofApplication('SecretRenewed', at('2027-01-10T00:00Z'), {
        secretId: SECRET,
        version: 2,
        verifier: VERIFIER,
        lookupId: '0000000001',
        expirySource: 'command',
        expiresAt: at('2027-01-11T00:00Z'),
        previousValidUntil: at('2027-01-12T00:00Z'),
      }),
    );
    const statusOf = async (instant: string) => {
      const options = { store: short, clock: new ManualClock(Date.parse(NOW)) };
      const { secrets } = await applicationAsOf(options, { domainId: 'shop', applicationId: APPLICATION }, at(instant));
      return secrets.map(({ status, authenticates }) => [status, authenticates]);
    };
    expect(await statusOf('2027-01-10T23:59:59.999Z')).toEqual([['active', [2, 1]]]);
    expect(await statusOf('2027-01-11T00:00Z')).toEqual([['active', [1]]]);
    expect(await statusOf('2027-01-12T00:00Z')).toEqual([['expired', []]]);
  });

  it('returns every property of the application but no verifier', async () => {
    const state = await asOf('2027-01-16T00:00Z');
    expect(state).toMatchObject({
      asOf: at('2027-01-16T00:00Z'),
      id: APPLICATION,
      domainId: 'shop',
      domainStatus: 'active',
      status: 'active',
      clientId: 'web',
      name: 'Web',
      contacts: ['a@example.org'],
      policy: { mode: 'inherit' },
    });
    expect(state.secrets[1]).toEqual({
      id: SECOND,
      description: 'second',
      version: 1,
      status: 'active',
      valueCreatedAt: at('2027-01-15T00:00Z'),
      notBefore: at('2027-01-16T00:00Z'),
      allowedCidrs: ['10.0.0.0/8'],
      authenticates: [1],
    });
    expect(JSON.stringify(state)).not.toContain('argon2');
  });

  it('is not found between a deletion and a new registration', async () => {
    expect(await asOf('2027-03-31T23:59:59.999Z')).toMatchObject({ status: 'active', name: 'Web' });
    expect(await asOf('2027-04-30T23:59:59.999Z')).toMatchObject({ status: 'deleted', secrets: [], contacts: [] });
    expect(await asOf('2027-05-01T00:00Z')).toMatchObject({ status: 'active', name: 'Web again', contacts: [] });
  });

  it('includes the state of the domain', async () => {
    expect(await asOf('2027-01-21T12:00Z')).toMatchObject({ domainStatus: 'disabled', status: 'active' });
    expect(await asOf('2027-05-20T00:00Z')).toMatchObject({ domainStatus: 'deleted', status: 'active' });
  });

  it.each([
    ['before its registration', '2027-01-01T23:59:59.999Z', 'shop'],
    ['in another domain', '2027-01-16T00:00Z', 'bank'],
  ])('is not found %s', async (_what, instant, domainId) => {
    await expect(asOf(instant, domainId)).rejects.toMatchObject({ code: 'application_not_found' });
  });

  it('rejects an instant in the future', async () => {
    await expect(asOf('2027-06-01T00:00:00.001Z')).rejects.toMatchObject({
      code: 'invalid_request',
      details: { field: 'asOf' },
    });
    await expect(asOf(NOW)).resolves.toMatchObject({ asOf: NOW });
  });
});
