import fc from 'fast-check';
import { fold } from './decider';
import type { Duration } from './expiry-policy';
import {
  DOMAIN_ID_PATTERN,
  RESERVED_DOMAIN_IDS,
  domainIdFromName,
  domainStream,
  securityDomain,
  type SecurityDomainEvent,
} from './security-domain';
import { recorded, specification } from './testing';

const { given } = specification(securityDomain, {});
const domainId = 'payments';

const created: SecurityDomainEvent = { type: 'DomainCreated', data: { domainId, name: 'Payments', contacts: [] } };
const renamed: SecurityDomainEvent = { type: 'DomainRenamed', data: { domainId, name: 'Pay' } };
const contacts = ['ops@example.com'];
const contacted: SecurityDomainEvent = { type: 'ContactsChanged', data: { domainId, contacts } };
const disabled: SecurityDomainEvent = { type: 'DomainDisabled', data: { domainId } };
const enabled: SecurityDomainEvent = { type: 'DomainEnabled', data: { domainId } };
const deleted: SecurityDomainEvent = { type: 'DomainDeleted', data: { domainId } };

const days = (amount: number): Duration => ({ amount, unit: 'days' });
const policy = { expiry: { mode: 'after', after: days(90) }, maxLifetime: days(365) } as const;
const policyChanged: SecurityDomainEvent = { type: 'PolicyChanged', data: { domainId, policy } };

const create = (more: { domainId?: string; contacts?: string[] } = {}) =>
  ({ type: 'CreateDomain', data: { domainId, name: 'Payments', ...more } }) as const;
const update = (data: { name?: string; contacts?: string[]; enabled?: boolean }) =>
  ({ type: 'UpdateDomain', data: { domainId, ...data } }) as const;
const changePolicy = { type: 'ChangeDomainPolicy', data: { domainId, policy } } as const;
const remove = { type: 'DeleteDomain', data: { domainId } } as const;

describe('creating a domain', () => {
  it('creates it without a policy', () => {
    given().when(create()).then(created);
    expect(given(created).state()).toEqual({
      status: 'active',
      domainId,
      name: 'Payments',
      contacts: [],
      policy: {},
      resourceRevision: 0,
    });
  });

  it('stores the contacts', () =>
    given()
      .when(create({ contacts }))
      .then({ type: 'DomainCreated', data: { domainId, name: 'Payments', contacts } }));

  it('rejects an id that is in use or belongs to a deleted domain', () => {
    given(created).when(create()).thenRefused('domain_taken');
    given(created, disabled).when(create()).thenRefused('domain_taken');
    given(created, deleted).when(create()).thenRefused('domain_taken');
  });

  it.each(['', '-a', 'A', 'a.b', 'a_b', 'a b', 'é', 'a'.repeat(64), 'a\n', ...RESERVED_DOMAIN_IDS])(
    'rejects the id %j',
    (id) =>
      given()
        .when(create({ domainId: id }))
        .thenRefused('invalid_request', { field: 'id' }),
  );

  it.each(['a', '0', 'a-', 'a--b', 'a'.repeat(63), 'api2', 'constructor'])('accepts the id %j', (id) =>
    given()
      .when(create({ domainId: id }))
      .then({ type: 'DomainCreated', data: { domainId: id, name: 'Payments', contacts: [] } }),
  );

  it.each(['api', 'management', 'docs', 'health', 'metrics', 'console'])('reserves the id %j', (segment) =>
    expect(RESERVED_DOMAIN_IDS.has(segment)).toBe(true),
  );
});

describe('updating a domain', () => {
  it('renames it, and does nothing when repeated', () => {
    given(created)
      .when(update({ name: 'Pay' }))
      .thenOnce(renamed);
    given(created)
      .when(update({ name: 'Payments' }))
      .thenNothing();
  });

  it('changes its contacts, and does nothing when repeated', () => {
    given(created).when(update({ contacts })).thenOnce(contacted);
    given(created, contacted)
      .when(update({ contacts: [] }))
      .thenOnce({ type: 'ContactsChanged', data: { domainId, contacts: [] } });
  });

  it('disables and enables it, and does nothing when repeated', () => {
    given(created)
      .when(update({ enabled: false }))
      .thenOnce(disabled);
    given(created, disabled)
      .when(update({ enabled: true }))
      .thenOnce(enabled);
    given(created)
      .when(update({ enabled: true }))
      .thenNothing();
  });

  it('applies several changes at once, and none for an empty update', () => {
    given(created)
      .when(update({ name: 'Pay', contacts, enabled: false }))
      .thenOnce(renamed, contacted, disabled);
    given(created).when(update({})).thenNothing();
  });
});

describe('changing the policy of a domain', () => {
  it('changes it, and does nothing when repeated in a different key order', () => {
    given(created).when(changePolicy).thenOnce(policyChanged);
    const turned = { maxLifetime: { unit: 'days', amount: 365 }, expiry: { after: days(90), mode: 'after' } } as const;
    given(created, policyChanged)
      .when({ type: 'ChangeDomainPolicy', data: { domainId, policy: turned } })
      .thenNothing();
  });

  it('stores durations as given: 3 months are not 90 days', () => {
    const months = { expiry: { mode: 'after', after: { amount: 3, unit: 'months' } } } as const;
    const weeks = { expiry: { mode: 'after', after: { amount: 12, unit: 'weeks' } } } as const;
    const inWeeks: SecurityDomainEvent = { type: 'PolicyChanged', data: { domainId, policy: weeks } };
    given(created, inWeeks)
      .when({ type: 'ChangeDomainPolicy', data: { domainId, policy: months } })
      .thenOnce({ type: 'PolicyChanged', data: { domainId, policy: months } });
    given(created, inWeeks)
      .when({ type: 'ChangeDomainPolicy', data: { domainId, policy: { expiry: { mode: 'after', after: days(84) } } } })
      .then({ type: 'PolicyChanged', data: { domainId, policy: { expiry: { mode: 'after', after: days(84) } } } });
  });

  it('removes the whole policy', () =>
    given(created, policyChanged)
      .when({ type: 'ChangeDomainPolicy', data: { domainId, policy: {} } })
      .thenOnce({ type: 'PolicyChanged', data: { domainId, policy: {} } }));

  it('rejects an inconsistent policy', () => {
    const [one, two] = [days(1), days(2)];
    given(created)
      .when({ type: 'ChangeDomainPolicy', data: { domainId, policy: { minLifetime: two, maxLifetime: one } } })
      .thenRefused('invalid_request', { field: 'minLifetime' });
    given(created)
      .when({ type: 'ChangeDomainPolicy', data: { domainId, policy: { expiry: { mode: 'never' }, maxLifetime: one } } })
      .thenRefused('lifetime_out_of_bounds', { field: 'expiry.mode', bound: 'maxLifetime' });
  });

  it('accepts an unchanged policy even in a month in which it would be rejected', () => {
    const monthly = {
      expiry: { mode: 'after', after: { amount: 1, unit: 'months' } },
      maxLifetime: days(30),
    } as const;
    const command = { type: 'ChangeDomainPolicy', data: { domainId, policy: monthly } } as const;
    const inFebruary = [created, '2026-02-01T00:00:00.000Z'] as const;
    given(...inFebruary)
      .when(command)
      .thenOnce({ type: 'PolicyChanged', data: { domainId, policy: monthly } });
    given(...inFebruary, { type: 'PolicyChanged', data: { domainId, policy: monthly } }, '2026-03-01T00:00:00.000Z')
      .when(command)
      .thenNothing();
    given(created, '2026-03-01T00:00:00.000Z').when(command).thenRefused('lifetime_out_of_bounds');
  });
});

describe('deleting a domain', () => {
  it('deletes it, even if it is disabled', () => {
    given(created).when(remove).then(deleted);
    given(created, disabled).when(remove).then(deleted);
    expect(given(created, deleted).state()).toEqual({ status: 'deleted' });
  });

  it.each([update({ name: 'x' }), changePolicy, remove])('rejects $type afterwards', (command) => {
    given(created, deleted).when(command).thenRefused('domain_not_found');
    given().when(command).thenRefused('domain_not_found');
  });

  it('is final: later events in the stream do not undo it', () =>
    expect(given(created, deleted, renamed, enabled, policyChanged).state()).toEqual({ status: 'deleted' }));
});

describe('If-Match', () => {
  it.each([update({ name: 'x' }), changePolicy, remove])(
    'compares the revision given by the caller for $type',
    (command) => {
      given(created, renamed).when(command, { ifMatch: 0 }).thenRefused('revision_conflict', { revision: 1 });
      expect(given(created, renamed).when(command, { ifMatch: 1 }).events()).toHaveLength(1);
    },
  );

  it('covers every change of the domain', () => {
    const history = [created, renamed, contacted, policyChanged, disabled, enabled];
    history.forEach((_, index) =>
      expect(given(...history.slice(0, index + 1)).state()).toMatchObject({ resourceRevision: index }),
    );
  });
});

describe('folding a domain', () => {
  const facts = [created, renamed, contacted, policyChanged, disabled, enabled, deleted];

  it('is deterministic and returns the same state in one part or two', () =>
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...facts), { maxLength: 12 }), fc.nat(12), (history, at) => {
        const { events } = recorded(history);
        const whole = fold(securityDomain, events);
        expect(fold(securityDomain, events)).toEqual(whole);
        expect(fold(securityDomain, events.slice(at), fold(securityDomain, events.slice(0, at)))).toEqual(whole);
      }),
    ));
});

describe('domain ids', () => {
  it('determine the stream name', () => expect(domainStream('payments')).toBe('domain-payments'));

  it.each<[string, number | undefined, string]>([
    ['Payments', undefined, 'payments'],
    ['  My  Domain! ', undefined, 'my-domain'],
    ['Zürich Crédit Ångström', undefined, 'zurich-credit-angstrom'],
    ['İstanbul', undefined, 'istanbul'],
    ['Ｆｕｌｌ', undefined, 'full'],
    ['日本', undefined, 'domain'],
    ['', undefined, 'domain'],
    ['日本', 3, 'domain-3'],
    ['Payments', 1, 'payments'],
    ['Payments', 2, 'payments-2'],
    ['API', undefined, 'api-1'],
    ['API', 2, 'api-2'],
    ['openapi.json', undefined, 'openapi-json'],
    ['a'.repeat(70), undefined, 'a'.repeat(63)],
    ['a'.repeat(70), 12, `${'a'.repeat(60)}-12`],
    [`${'a'.repeat(62)} b`, undefined, 'a'.repeat(62)],
    [`${'a'.repeat(60)} bcd`, 10, `${'a'.repeat(60)}-10`],
  ])('returns for name %j and attempt %j: %j', (name, attempt, id) => expect(domainIdFromName(name, attempt)).toBe(id));

  it('can be derived from every name and differ for every attempt', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 100 }), fc.integer({ min: 1, max: 1e6 }), (name, attempt) => {
        const id = domainIdFromName(name, attempt);
        expect(id).toMatch(DOMAIN_ID_PATTERN);
        expect(RESERVED_DOMAIN_IDS.has(id)).toBe(false);
        expect(domainIdFromName(name, attempt + 1)).not.toBe(id);
      }),
    ));
});
