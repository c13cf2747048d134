import { DomainError } from '@rekey/domain';
import { ERRORS, RekeyError, publicErrorOf } from './errors';

/** The table that callers were given. A code is never taken out, nor its status changed. */
const PUBLISHED: Record<number, string[]> = {
  400: ['invalid_request', 'recipient_key_required', 'expiry_required'],
  401: ['unauthenticated', 'invalid_client_credentials'],
  403: ['forbidden'],
  404: ['not_found', 'domain_not_found', 'application_not_found', 'secret_not_found'],
  405: ['method_not_allowed'],
  409: [
    'client_id_taken',
    'domain_taken',
    'description_taken',
    'domain_disabled',
    'application_disabled',
    'too_many_secrets',
    'last_live_secret',
    'revision_conflict',
    'not_renewable',
    'secret_revoked',
  ],
  413: ['payload_too_large'],
  415: ['unsupported_media_type'],
  422: ['lifetime_out_of_bounds', 'idempotency_key_reused'],
  429: ['rate_limited'],
  500: ['internal'],
  503: ['unavailable'],
  504: ['timeout'],
};

describe('the table of errors', () => {
  it('has exactly the published codes with their statuses', () => {
    const byStatus: Record<number, string[]> = {};
    for (const [code, { status }] of Object.entries(ERRORS)) (byStatus[status] ??= []).push(code);
    const sorted = (table: Record<number, string[]>) =>
      Object.fromEntries(Object.entries(table).map(([status, codes]) => [status, [...codes].sort()]));
    expect(sorted(byStatus)).toEqual(sorted(PUBLISHED));
  });

  it('has a readable title for each code', () => {
    for (const { title } of Object.values(ERRORS)) expect(title).toMatch(/^[A-Z][a-z]+( [a-z]+)*$/);
    expect(new Set(Object.values(ERRORS).map(({ title }) => title)).size).toBe(Object.keys(ERRORS).length);
  });
});

describe('the public part of an error', () => {
  it('has code, message and details', () => {
    const details = { field: 'expiresAt', bound: 'maxLifetime' };
    const expected = { code: 'lifetime_out_of_bounds', message: 'Too long.', details };
    expect(publicErrorOf(new DomainError('lifetime_out_of_bounds', 'Too long.', details))).toEqual(expected);
    expect(publicErrorOf(new RekeyError('lifetime_out_of_bounds', 'Too long.', details))).toEqual(expected);
  });

  it('never includes the cause, or anything of another error', () => {
    const cause = new Error('connect to db.internal failed');
    const told = publicErrorOf(new RekeyError('unavailable', 'A store is away.', {}, { cause }));
    expect(JSON.stringify(told)).not.toContain('db.internal');
    for (const error of [cause, new TypeError('x'), { code: 'forbidden', message: 'x' }, 'forbidden', undefined, null])
      expect(publicErrorOf(error)).toBeUndefined();
  });
});
