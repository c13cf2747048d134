import {
  DURATION_UNITS,
  REVOCATION_REASONS,
  application,
  fold,
  securityDomain,
  type ApplicationEvent,
  type SecurityDomainEvent,
} from '@rekey/domain';
import fc from 'fast-check';
import { SCHEMA_VERSION, UnreadableEvent, decodeEvent, upcast, type EncodedEvent, type Upcasts } from './events';

// ── Every shape that was released, as it was stored ──────────────────────────────────────────────────────────────
// Raw text on purpose: no change of today's types may change it. A shape is never taken out, only added.

const RELEASED_APPLICATION_V1: Record<ApplicationEvent['type'], string[]> = {
  ApplicationRegistered: [
    '{"applicationId":"a1","domainId":"d1","clientId":"shop ~","name":"Shop","contacts":[]}',
    '{"applicationId":"a1","domainId":"d1","clientId":"shop","name":"Shop","contacts":["ops@example.com"]}',
  ],
  SecretAdded: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"description":"blue","verifier":"phc","lookupId":"l1","expirySource":"none"}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"description":"blue","verifier":"phc","lookupId":"l1","hint":"abcd","expiresAt":"2027-01-31T00:00:00.000Z","notBefore":"2026-01-31T00:00:00.000Z","allowedCidrs":["10.0.0.0/8","2001:db8::/32"],"ownExpiresIn":{"amount":1,"unit":"years"},"expirySource":"command"}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"description":"blue","verifier":"phc","lookupId":"l1","expiresAt":"2027-01-31T00:00:00.000Z","expirySource":"domain-bound"}',
  ],
  SecretRenewed: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":2,"verifier":"phc","lookupId":"l2","expirySource":"application"}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":3,"verifier":"phc","lookupId":"l3","hint":"abcd","expiresAt":"2027-01-31T00:00:00.000Z","ownExpiresIn":{"amount":12,"unit":"weeks"},"expirySource":"secret","previousValidUntil":"2026-02-01T00:00:00.000Z"}',
  ],
  OverlapEnded: ['{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1}'],
  SecretRevoked: REVOCATION_REASONS.map(
    (reason) => `{"applicationId":"a1","domainId":"d1","secretId":"s1","reason":"${reason}"}`,
  ),
  SecretSuspended: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1"}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","reason":"leak?"}',
  ],
  SecretResumed: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1"}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","reason":"no leak"}',
  ],
  SecretExpired: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":2,"expiresAt":"2027-01-31T00:00:00.000Z"}',
  ],
  ExpiryNoticeSent: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"threshold":20,"channel":"log","recipients":0}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"threshold":0.5,"channel":"email","recipients":2}',
  ],
  ExpiryNoticeFailed: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"threshold":0,"channel":"webhook","cause":"Status 500."}',
  ],
  ExpiryNoticeRetried: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"threshold":1,"channel":"webhook"}',
  ],
  ExpiryNoticeAcknowledged: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","version":1,"threshold":1,"channel":"ui"}',
  ],
  PolicyChanged: [
    '{"applicationId":"a1","domainId":"d1","policy":{"mode":"inherit"}}',
    '{"applicationId":"a1","domainId":"d1","policy":{"mode":"never"}}',
    '{"applicationId":"a1","domainId":"d1","policy":{"mode":"after","after":{"amount":3,"unit":"months"}}}',
  ],
  SecretDescribed: ['{"applicationId":"a1","domainId":"d1","secretId":"s1","description":"green"}'],
  SecretRestricted: [
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","allowedCidrs":[]}',
    '{"applicationId":"a1","domainId":"d1","secretId":"s1","allowedCidrs":["10.0.0.0/8"],"notBefore":"2026-01-31T00:00:00.000Z"}',
  ],
  ContactsChanged: ['{"applicationId":"a1","domainId":"d1","contacts":["ops@example.com"]}'],
  ApplicationRenamed: ['{"applicationId":"a1","domainId":"d1","name":"Store"}'],
  ApplicationDisabled: ['{"applicationId":"a1","domainId":"d1"}'],
  ApplicationEnabled: ['{"applicationId":"a1","domainId":"d1"}'],
  ApplicationDeleted: ['{"applicationId":"a1","domainId":"d1"}'],
};

const RELEASED_DOMAIN_V1: Record<SecurityDomainEvent['type'], string[]> = {
  DomainCreated: ['{"domainId":"d1","name":"Payments","contacts":[]}'],
  PolicyChanged: [
    '{"domainId":"d1","policy":{}}',
    '{"domainId":"d1","policy":{"expiry":{"mode":"never"},"minLifetime":{"amount":90,"unit":"minutes"}}}',
    '{"domainId":"d1","policy":{"expiry":{"mode":"after","after":{"amount":30,"unit":"days"}},"maxLifetime":{"amount":1,"unit":"years"}}}',
  ],
  ContactsChanged: ['{"domainId":"d1","contacts":["ops@example.com"]}'],
  DomainRenamed: ['{"domainId":"d1","name":"Pay"}'],
  DomainDisabled: ['{"domainId":"d1"}'],
  DomainEnabled: ['{"domainId":"d1"}'],
  DomainDeleted: ['{"domainId":"d1"}'],
};

const METADATA_V1 =
  '{"commandId":"c1","correlationId":"x1","causationId":"c1","actor":{"type":"token","id":"ops"},"occurredAt":"2026-01-31T12:00:00.000Z","schemaVersion":1,"previousHash":"","hash":"h1"}';

type Aggregate = 'application' | 'domain';
const shapesOf = (aggregate: Aggregate, released: Record<string, string[]>) =>
  Object.entries(released).flatMap(([type, texts]) => texts.map((data) => [aggregate, type, data] as const));
const RELEASED = [...shapesOf('application', RELEASED_APPLICATION_V1), ...shapesOf('domain', RELEASED_DOMAIN_V1)];

const stored = (aggregate: Aggregate, type: string, data: string, metadata = METADATA_V1): EncodedEvent => ({
  stream: `${aggregate}-1`,
  revision: 4,
  position: '0000000007',
  eventId: 'e1',
  type,
  data: JSON.parse(data) as EncodedEvent['data'],
  metadata: JSON.parse(metadata) as EncodedEvent['metadata'],
});

const refusal = (event: EncodedEvent): unknown => {
  try {
    return decodeEvent(event);
  } catch (error) {
    return error;
  }
};

describe('an event of an earlier release', () => {
  it.each(RELEASED)('is read: %s.%s %s', (aggregate, type, data) =>
    expect(decodeEvent(stored(aggregate, type, data))).toEqual({
      aggregate,
      type,
      stream: `${aggregate}-1`,
      revision: 4,
      position: '0000000007',
      eventId: 'e1',
      data: JSON.parse(data),
      metadata: JSON.parse(METADATA_V1),
    }),
  );

  it('folds into the state of its aggregate', () => {
    const first = { application: 'ApplicationRegistered', domain: 'DomainCreated' } as const;
    for (const [aggregate, type, data] of RELEASED) {
      const released = { ...RELEASED_APPLICATION_V1, ...RELEASED_DOMAIN_V1 };
      const texts: [string, string][] = [[first[aggregate], released[first[aggregate]][0] ?? '']];
      if (aggregate === 'application') texts.push(['SecretAdded', RELEASED_APPLICATION_V1.SecretAdded[0] ?? '']);
      const events = [...texts, [type, data] as const].map(([each, text]) =>
        decodeEvent(stored(aggregate, each, text)),
      );
      const applicationEvents = events.flatMap((event) => (event.aggregate === 'application' ? [event] : []));
      const domainEvents = events.flatMap((event) => (event.aggregate === 'domain' ? [event] : []));
      expect(fold(application, applicationEvents).status === 'none').toBe(aggregate === 'domain');
      expect(fold(securityDomain, domainEvents).status === 'none').toBe(aggregate === 'application');
    }
  });

  it.each(RELEASED)('is refused without one of its fields: %s.%s %s', (aggregate, type, text) => {
    const optional = ['hint', 'expiresAt', 'notBefore', 'allowedCidrs', 'ownExpiresIn', 'reason', 'previousValidUntil'];
    const needed =
      type === 'SecretExpired'
        ? ['expiresAt']
        : type === 'SecretRevoked'
          ? ['reason']
          : type === 'SecretRestricted'
            ? ['allowedCidrs']
            : [];
    const data = JSON.parse(text) as Record<string, unknown>;
    for (const field of Object.keys(data).filter((name) => needed.includes(name) || !optional.includes(name))) {
      const { [field]: _, ...rest } = data;
      const error = refusal(stored(aggregate, type, JSON.stringify(rest)));
      expect(error).toBeInstanceOf(UnreadableEvent);
      expect((error as Error).message).toBe(`Event ${type} at ${aggregate}-1/4 cannot be read: data.${field}`);
    }
  });
});

describe('a stored event', () => {
  const text = fc.string({ unit: 'grapheme' });
  const instant = fc
    .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
    .map((date) => date.toISOString());
  const duration = fc.record({ amount: fc.integer({ min: 1, max: 1e9 }), unit: fc.constantFrom(...DURATION_UNITS) });
  const mode = fc.oneof(
    fc.record({ mode: fc.constant('after'), after: duration }),
    fc.record({ mode: fc.constant('never') }),
  );
  const domain = { domainId: text };
  const ids = { ...domain, applicationId: text };
  const secret = { ...ids, secretId: text };
  const version = fc.integer({ min: 1, max: 1e6 });
  const notice = {
    ...secret,
    version,
    threshold: fc.double({ min: 0, max: 400, noNaN: true }).map((days) => days + 0),
    channel: text,
  };
  const value = {
    ...secret,
    verifier: text,
    lookupId: text,
    expirySource: fc.constantFrom('command', 'secret', 'application', 'domain', 'none', 'domain-bound'),
  };
  const some = <T>(
    needed: Record<string, fc.Arbitrary<unknown>>,
    optional: Record<string, fc.Arbitrary<unknown>> = {},
  ) => fc.record({ ...needed, ...optional }, { requiredKeys: Object.keys(needed) }) as unknown as fc.Arbitrary<T>;

  const applicationData: { [Type in ApplicationEvent['type']]: fc.Arbitrary<object> } = {
    ApplicationRegistered: some({ ...ids, clientId: text, name: text, contacts: fc.array(text) }),
    SecretAdded: some(
      { ...value, version: fc.constant(1), description: text },
      { hint: text, expiresAt: instant, notBefore: instant, allowedCidrs: fc.array(text), ownExpiresIn: duration },
    ),
    SecretRenewed: some(
      { ...value, version: fc.integer({ min: 2 }) },
      { hint: text, expiresAt: instant, ownExpiresIn: duration, previousValidUntil: instant },
    ),
    OverlapEnded: some({ ...secret, version }),
    SecretRevoked: some({ ...secret, reason: fc.constantFrom(...REVOCATION_REASONS) }),
    SecretSuspended: some(secret, { reason: text }),
    SecretResumed: some(secret, { reason: text }),
    SecretExpired: some({ ...secret, version, expiresAt: instant }),
    ExpiryNoticeSent: some({ ...notice, recipients: fc.nat() }),
    ExpiryNoticeFailed: some({ ...notice, cause: text }),
    ExpiryNoticeRetried: some(notice),
    ExpiryNoticeAcknowledged: some(notice),
    PolicyChanged: some({ ...ids, policy: fc.oneof(mode, fc.record({ mode: fc.constant('inherit') })) }),
    SecretDescribed: some({ ...secret, description: text }),
    SecretRestricted: some({ ...secret, allowedCidrs: fc.array(text) }, { notBefore: instant }),
    ContactsChanged: some({ ...ids, contacts: fc.array(text) }),
    ApplicationRenamed: some({ ...ids, name: text }),
    ApplicationDisabled: some(ids),
    ApplicationEnabled: some(ids),
    ApplicationDeleted: some(ids),
  };
  const domainData: { [Type in SecurityDomainEvent['type']]: fc.Arbitrary<object> } = {
    DomainCreated: some({ ...domain, name: text, contacts: fc.array(text) }),
    PolicyChanged: some({
      ...domain,
      policy: some({}, { expiry: mode, minLifetime: duration, maxLifetime: duration }),
    }),
    ContactsChanged: some({ ...domain, contacts: fc.array(text) }),
    DomainRenamed: some({ ...domain, name: text }),
    DomainDisabled: some(domain),
    DomainEnabled: some(domain),
    DomainDeleted: some(domain),
  };
  const kinds = [
    ...Object.entries(applicationData).map(([type, data]) => ['application', type, data] as const),
    ...Object.entries(domainData).map(([type, data]) => ['domain', type, data] as const),
  ];

  it.each(kinds)('is decoded as it was encoded: %s.%s', (aggregate, type, data) =>
    fc.assert(
      fc.property(data, (written) => {
        const { data: read } = decodeEvent(stored(aggregate, type, JSON.stringify(written)));
        expect(read).toEqual(written);
      }),
    ),
  );
});

describe('an unreadable event', () => {
  const added = JSON.parse(RELEASED_APPLICATION_V1.SecretAdded[1] ?? '') as Record<string, unknown>;
  const withData = (more: Record<string, unknown>) =>
    stored('application', 'SecretAdded', JSON.stringify({ ...added, ...more }));

  it.each(['Unheard', '', 'constructor', '__proto__', 'DomainCreated'])('is of an unknown type: %j', (type) => {
    expect(() => decodeEvent(stored('application', type, '{}'))).toThrow(
      `Event ${type} at application-1/4 cannot be read: unknown type`,
    );
  });

  it('belongs to the other aggregate, or to neither', () => {
    expect(refusal(stored('domain', 'SecretAdded', RELEASED_APPLICATION_V1.SecretAdded[0] ?? ''))).toBeInstanceOf(
      UnreadableEvent,
    );
    expect(refusal({ ...stored('domain', 'StoreNamed', '{}'), stream: 'rekey-system' })).toBeInstanceOf(
      UnreadableEvent,
    );
  });

  it.each<[string, Record<string, unknown>]>([
    ['data.version', { version: 2 }],
    ['data.verifier', { verifier: null }],
    ['data.expiresAt', { expiresAt: 1_800_000_000_000 }],
    ['data.expiresAt', { expiresAt: '2027-01-31T00:00:00Z' }],
    ['data.expirySource', { expirySource: 'whim' }],
    ['data.ownExpiresIn.amount', { ownExpiresIn: { amount: 0, unit: 'days' } }],
    ['data.allowedCidrs.1', { allowedCidrs: ['10.0.0.0/8', 8] }],
    ['data.version, data.description', { version: 'one', description: 7 }],
  ])('names its fields, never a value: %s', (fields, more) =>
    expect(() => decodeEvent(withData(more))).toThrow(new UnreadableEvent('application-1', 4, 'SecretAdded', fields)),
  );

  it('has data that is not an object', () => {
    for (const data of ['null', '[]', '"text"'])
      expect(refusal(stored('application', 'ApplicationDeleted', data))).toBeInstanceOf(UnreadableEvent);
  });

  it('has invalid metadata', () => {
    const metadata = JSON.parse(METADATA_V1) as Record<string, unknown>;
    for (const field of Object.keys(metadata)) {
      const { [field]: _, ...rest } = metadata;
      const event = stored(
        'application',
        'ApplicationDeleted',
        '{"applicationId":"a1","domainId":"d1"}',
        JSON.stringify(rest),
      );
      expect(() => decodeEvent(event)).toThrow(`cannot be read: metadata.${field}`);
    }
  });

  it('has a newer schema version', () => {
    const newer = METADATA_V1.replace('"schemaVersion":1', `"schemaVersion":${SCHEMA_VERSION + 1}`);
    const event = stored('application', 'ApplicationDeleted', '{"applicationId":"a1","domainId":"d1"}', newer);
    expect(() => decodeEvent(event)).toThrow(`shape version ${SCHEMA_VERSION + 1} is newer than this code`);
  });
});

it('ignores fields of newer releases in data, policies and metadata', () => {
  const read = decodeEvent(
    stored(
      'domain',
      'PolicyChanged',
      '{"domainId":"d1","later":1,"policy":{"later":2,"minLifetime":{"amount":1,"unit":"days","later":3}}}',
      METADATA_V1.replace('{', '{"later":4,'),
    ),
  );
  expect(read.data).toEqual({ domainId: 'd1', policy: { minLifetime: { amount: 1, unit: 'days' } } });
  expect(read.metadata).toMatchObject({ later: 4 });
});

describe('an upcast', () => {
  // A made-up history: version 2 renamed a field, version 4 split it.
  const upcasts: Upcasts = {
    'application.ApplicationRenamed': {
      3: ({ title, ...data }) => ({ ...data, short: String(title).slice(0, 3), long: title }),
      1: ({ name, ...data }) => ({ ...data, title: name }),
    },
  };
  const key = 'application.ApplicationRenamed';

  it.each([
    [1, { id: 'a', name: 'Store' }],
    [2, { id: 'a', title: 'Store' }],
    [3, { id: 'a', title: 'Store' }],
    [4, { id: 'a', short: 'Sto', long: 'Store' }],
  ])('converts version %d to the current one, version by version', (version, data) =>
    expect(upcast(key, version, data, upcasts)).toEqual({ id: 'a', short: 'Sto', long: 'Store' }),
  );

  it('changes neither other events nor the stored object', () => {
    const data = Object.freeze({ name: 'Store' });
    expect(upcast('domain.ApplicationRenamed', 1, data, upcasts)).toBe(data);
    upcast(key, 1, data, upcasts);
    expect(data).toEqual({ name: 'Store' });
  });
});
