import { DateTime } from 'luxon';
import { DomainError, invalid } from './errors';

/** RFC 3339 in UTC with milliseconds. Always 24 characters, so comparing strings compares time. */
export type Instant = string;

export const DURATION_UNITS = ['seconds', 'minutes', 'hours', 'days', 'weeks', 'months', 'years'] as const;
export type DurationUnit = (typeof DURATION_UNITS)[number];

/** An integer of at least 1 and a unit, stored as the user wrote it: 3 months is not 7,776,000 s. */
export interface Duration {
  readonly amount: number;
  readonly unit: DurationUnit;
}

/** The earliest and latest instant that have 24 characters. */
export const EARLIEST: Instant = '0000-01-01T00:00:00.000Z';
export const LATEST: Instant = '9999-12-31T23:59:59.999Z';

/** A domain's policy: the default expiry of its secrets, and the bounds of every lifetime. */
export interface DomainPolicy {
  readonly expiry?: { readonly mode: 'after'; readonly after: Duration } | { readonly mode: 'never' } | undefined;
  readonly minLifetime?: Duration | undefined;
  readonly maxLifetime?: Duration | undefined;
}

/** An application's default expiry; `inherit`: the domain's. */
export type ApplicationPolicy =
  { readonly mode: 'inherit' } | { readonly mode: 'never' } | { readonly mode: 'after'; readonly after: Duration };

/** The expiry in a command: a lifetime, an instant, or `expiresAt: null` for never. Neither: not stated. */
export interface StatedExpiry {
  readonly expiresIn?: Duration;
  readonly expiresAt?: Instant | null;
}

/** The expiry that a secret was last given itself. A renewal that states none uses it. */
export type OwnExpiry =
  | { readonly kind: 'none' }
  | { readonly kind: 'in'; readonly duration: Duration }
  | { readonly kind: 'at' }
  | { readonly kind: 'never' };

/** Where an expiry came from. `domain-bound`: the inherited expiry was outside the domain's bounds and was clamped. */
export type ExpirySource = 'command' | 'secret' | 'application' | 'domain' | 'none' | 'domain-bound';

export interface Expiry {
  /** Missing: never. The value is expired when `now >= expiresAt`. */
  readonly expiresAt?: Instant;
  readonly source: ExpirySource;
}

export interface ExpiryQuestion {
  readonly now: Instant;
  readonly notBefore?: Instant | undefined;
  readonly stated: StatedExpiry;
  readonly own: OwnExpiry;
  readonly applicationPolicy: ApplicationPolicy;
  readonly domainPolicy: DomainPolicy;
}

/**
 * Adds a duration to an instant, by the UTC calendar with month ends clamped (31 January + 1 month = 28 or 29 February).
 * Returns undefined if the result is after `LATEST`.
 */
export const addDuration = (start: Instant, duration: Duration): Instant | undefined => {
  const end = DateTime.fromISO(start, { zone: 'utc' }).plus({ [duration.unit]: duration.amount });
  return end.isValid && end.year <= 9999 ? end.toISO() : undefined;
};

/** Subtracts a duration from an instant, by the UTC calendar with month ends clamped; at least `EARLIEST`. */
export const subtractDuration = (end: Instant, duration: Duration): Instant => {
  const start = DateTime.fromISO(end, { zone: 'utc' }).minus({ [duration.unit]: duration.amount });
  return start.isValid && start.year >= 0 ? start.toISO() : EARLIEST;
};

/** Returns the later of two instants; undefined is ignored. */
export const later = (left: Instant, right: Instant | undefined): Instant =>
  right !== undefined && right > left ? right : left;

/** Returns the earlier of two instants; undefined means never. */
export const earlier = (left: Instant | undefined, right: Instant | undefined): Instant | undefined => {
  if (left === undefined) return right;
  if (right === undefined) return left;
  return left < right ? left : right;
};

/**
 * Returns the domain's bounds as instants. If they cross (1 month and 30 days do in February but not in January), the
 * maximum wins.
 */
const bounds = (start: Instant, { minLifetime, maxLifetime }: DomainPolicy) => {
  const latest = maxLifetime && (addDuration(start, maxLifetime) ?? LATEST);
  const earliest = minLifetime && earlier(addDuration(start, minLifetime) ?? LATEST, latest);
  return { earliest, latest };
};

/** Returns a `lifetime_out_of_bounds` error that names the field, the bound and its value. */
export const outOfBounds = (field: string, bound: 'minLifetime' | 'maxLifetime', duration: Duration | undefined) =>
  new DomainError(
    'lifetime_out_of_bounds',
    `The lifetime is outside the domain's ${bound}${duration ? ` of ${duration.amount} ${duration.unit}` : ''}.`,
    {
      field,
      bound,
      ...(duration ? { amount: duration.amount, unit: duration.unit } : {}),
    },
  );

/** Throws `lifetime_out_of_bounds` if a stated end is outside the domain's bounds; undefined means never. */
const refuseOutside = (field: string, start: Instant, end: Instant | undefined, policy: DomainPolicy): void => {
  const { earliest, latest } = bounds(start, policy);
  if (latest !== undefined && (end === undefined || end > latest))
    throw outOfBounds(field, 'maxLifetime', policy.maxLifetime);
  if (earliest !== undefined && end !== undefined && end < earliest)
    throw outOfBounds(field, 'minLifetime', policy.minLifetime);
};

const endOfLife = (field: string, start: Instant, duration: Duration): Instant => {
  const end = addDuration(start, duration);
  if (end === undefined) throw invalid(field, `The end would be after ${LATEST}.`);
  return end;
};

/**
 * Returns the expiry of a value that is created now (add or renew), from the first of these that states one: the
 * command, the secret's own earlier expiry, the application's policy, the domain's policy.
 *
 * Throws `lifetime_out_of_bounds` if the command states an expiry outside the domain's bounds, `expiry_required` if the
 * secret had its own `expiresAt` and the command states no new expiry, `invalid_request` if the expiry is in the past or
 * not after `notBefore`.
 */
export const expiryOf = (question: ExpiryQuestion): Expiry => {
  const { now, notBefore, stated, own, domainPolicy } = question;
  const start = later(now, notBefore);
  if (stated.expiresIn !== undefined || stated.expiresAt !== undefined) {
    const field = stated.expiresIn ? 'expiresIn' : 'expiresAt';
    const end = stated.expiresIn ? endOfLife(field, start, stated.expiresIn) : (stated.expiresAt ?? undefined);
    if (end !== undefined && end <= now) throw invalid(field, 'The expiry must be in the future.');
    if (end !== undefined && notBefore !== undefined && end <= notBefore)
      throw invalid(field, 'The expiry must be after notBefore.');
    refuseOutside(field, start, end, domainPolicy);
    return { ...(end === undefined ? {} : { expiresAt: end }), source: 'command' };
  }
  if (own.kind === 'at')
    throw new DomainError(
      'expiry_required',
      'This secret was created with expiresAt; a renewal must state a new expiry.',
      {
        field: 'expiresAt',
      },
    );
  const expiry = withinBounds(start, inherited(start, own, question.applicationPolicy, domainPolicy), domainPolicy);
  if (expiry.expiresAt !== undefined && expiry.expiresAt <= start)
    throw invalid('notBefore', `notBefore must be before ${LATEST}.`);
  return expiry;
};

const inherited = (
  start: Instant,
  own: Exclude<OwnExpiry, { kind: 'at' }>,
  applicationPolicy: ApplicationPolicy,
  domainPolicy: DomainPolicy,
): Expiry => {
  const after = (duration: Duration, source: ExpirySource): Expiry => ({
    expiresAt: addDuration(start, duration) ?? LATEST,
    source,
  });
  if (own.kind === 'in') return after(own.duration, 'secret');
  if (own.kind === 'never') return { source: 'secret' };
  if (applicationPolicy.mode === 'after') return after(applicationPolicy.after, 'application');
  if (applicationPolicy.mode === 'never') return { source: 'application' };
  if (domainPolicy.expiry?.mode === 'after') return after(domainPolicy.expiry.after, 'domain');
  if (domainPolicy.expiry?.mode === 'never') return { source: 'domain' };
  return { source: 'none' };
};

const withinBounds = (start: Instant, expiry: Expiry, policy: DomainPolicy): Expiry => {
  const { earliest, latest } = bounds(start, policy);
  if (latest !== undefined && (expiry.expiresAt === undefined || expiry.expiresAt > latest))
    return { expiresAt: latest, source: 'domain-bound' };
  if (earliest !== undefined && expiry.expiresAt !== undefined && expiry.expiresAt < earliest)
    return { expiresAt: earliest, source: 'domain-bound' };
  return expiry;
};

/**
 * Checks a domain policy as of now. Throws `invalid_request` if its bounds cross or an end is after `LATEST`,
 * `lifetime_out_of_bounds` if its expiry is outside its own bounds.
 */
export const checkDomainPolicy = (policy: DomainPolicy, now: Instant): void => {
  const earliest = policy.minLifetime && endOfLife('minLifetime', now, policy.minLifetime);
  const latest = policy.maxLifetime && endOfLife('maxLifetime', now, policy.maxLifetime);
  if (earliest !== undefined && latest !== undefined && earliest > latest)
    throw invalid('minLifetime', 'minLifetime must not be longer than maxLifetime.');
  if (policy.expiry) checkStatedPolicy(policy.expiry, policy, now);
};

/** Checks an application's policy as of now. Throws `lifetime_out_of_bounds` if it is outside the domain's bounds. */
export const checkApplicationPolicy = (policy: ApplicationPolicy, domain: DomainPolicy, now: Instant): void => {
  if (policy.mode !== 'inherit') checkStatedPolicy(policy, domain, now);
};

const checkStatedPolicy = (
  policy: { mode: 'never' } | { mode: 'after'; after: Duration },
  domain: DomainPolicy,
  now: Instant,
): void => {
  const end = policy.mode === 'after' ? endOfLife('expiry.after', now, policy.after) : undefined;
  refuseOutside(policy.mode === 'after' ? 'expiry.after' : 'expiry.mode', now, end, domain);
};

/** How the current value of a secret got its expiry; input of a policy preview. */
export interface PolicySubject {
  readonly valueCreatedAt: Instant;
  /** As it was when the value was created; later changes do not affect the expiry. */
  readonly notBefore?: Instant | undefined;
  /** Missing: never. */
  readonly expiresAt?: Instant | undefined;
  /** The last `expiresIn` that the secret was given itself. */
  readonly ownExpiresIn?: Duration | undefined;
  /** True if the secret was last given `expiresAt: null`. */
  readonly ownNever?: boolean | undefined;
  readonly expirySource: ExpirySource;
  /** The application's policy to apply: the current one, or a new one to preview. */
  readonly applicationPolicy: ApplicationPolicy;
}

export interface PolicyPreview extends Expiry {
  /** True if the policy would have set another expiry, or would have rejected the stated one. */
  readonly affected: boolean;
}

/**
 * Returns the expiry that a value would have if the policies had been in force when it was created. An expiry that the
 * command stated is kept; it is `affected` if it is outside the domain's bounds.
 */
export const previewExpiry = (subject: PolicySubject, domainPolicy: DomainPolicy): PolicyPreview => {
  const { valueCreatedAt, notBefore, expiresAt, ownExpiresIn, ownNever, expirySource, applicationPolicy } = subject;
  const start = later(valueCreatedAt, notBefore);
  const bounded = (expiry: Expiry): Expiry => withinBounds(start, expiry, domainPolicy);
  if (expirySource === 'command') {
    const stated: Expiry = { ...(expiresAt === undefined ? {} : { expiresAt }), source: 'command' };
    return { ...stated, affected: bounded(stated).source === 'domain-bound' };
  }
  const never = ownNever || (expirySource === 'secret' && ownExpiresIn === undefined);
  const own: Exclude<OwnExpiry, { kind: 'at' }> = never
    ? { kind: 'never' }
    : ownExpiresIn
      ? { kind: 'in', duration: ownExpiresIn }
      : { kind: 'none' };
  const expiry = bounded(inherited(start, own, applicationPolicy, domainPolicy));
  return { ...expiry, affected: expiry.expiresAt !== expiresAt };
};
