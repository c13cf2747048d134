import { DateTime } from 'luxon';
import { DomainError, invalid } from './errors';

/** RFC 3339 in UTC with milliseconds, always 24 characters, so that comparing text compares time. */
export type Instant = string;

export const DURATION_UNITS = ['seconds', 'minutes', 'hours', 'days', 'weeks', 'months', 'years'] as const;
export type DurationUnit = (typeof DURATION_UNITS)[number];

/** A whole amount of at least 1 and a unit; kept as the user wrote it (3 months is not 7,776,000 s). */
export interface Duration {
  readonly amount: number;
  readonly unit: DurationUnit;
}

/** The first and the last instant that Rekey knows: within them every instant has 24 characters. */
export const EARLIEST: Instant = '0000-01-01T00:00:00.000Z';
export const LATEST: Instant = '9999-12-31T23:59:59.999Z';

/** A domain's rule: what a secret gets where nobody says more, and the bounds that nobody may leave. */
export interface DomainPolicy {
  readonly expiry?: { readonly mode: 'after'; readonly after: Duration } | { readonly mode: 'never' } | undefined;
  readonly minLifetime?: Duration | undefined;
  readonly maxLifetime?: Duration | undefined;
}

/** An application's own rule, or `inherit`: the domain's. */
export type ApplicationPolicy =
  { readonly mode: 'inherit' } | { readonly mode: 'never' } | { readonly mode: 'after'; readonly after: Duration };

/** What a command says of the expiry: a life, an instant, or `expiresAt: null` for never. Neither: not said. */
export interface StatedExpiry {
  readonly expiresIn?: Duration;
  readonly expiresAt?: Instant | null;
}

/** What a secret said of its own expiry when it was made, which a renewal falls back on. */
export type OwnExpiry =
  | { readonly kind: 'none' }
  | { readonly kind: 'in'; readonly duration: Duration }
  | { readonly kind: 'at' }
  | { readonly kind: 'never' };

/** Which rule spoke. `domain-bound`: an inherited expiry did not fit the domain's bounds and ends there. */
export type ExpirySource = 'command' | 'secret' | 'application' | 'domain' | 'none' | 'domain-bound';

export interface Expiry {
  /** Absent: never. The value is expired when `now >= expiresAt`. */
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
 * Adds a duration to an instant by the calendar in UTC; month ends are clamped (31 January + 1 month = 28 or 29
 * February). `undefined` where the result lies beyond `LATEST`.
 */
export const addDuration = (start: Instant, duration: Duration): Instant | undefined => {
  const end = DateTime.fromISO(start, { zone: 'utc' }).plus({ [duration.unit]: duration.amount });
  return end.isValid && end.year <= 9999 ? end.toISO() : undefined;
};

/** Takes a duration off an instant by the calendar in UTC, month ends clamped; not beyond `EARLIEST`. */
export const subtractDuration = (end: Instant, duration: Duration): Instant => {
  const start = DateTime.fromISO(end, { zone: 'utc' }).minus({ [duration.unit]: duration.amount });
  return start.isValid && start.year >= 0 ? start.toISO() : EARLIEST;
};

/** The greater of two instants; one that is absent does not count. */
export const later = (left: Instant, right: Instant | undefined): Instant =>
  right !== undefined && right > left ? right : left;

/** The smaller of two instants; one that is absent is never. */
export const earlier = (left: Instant | undefined, right: Instant | undefined): Instant | undefined => {
  if (left === undefined) return right;
  if (right === undefined) return left;
  return left < right ? left : right;
};

/**
 * The bounds as instants. Where they cross (a month and 30 days do so in January and not in February), the maximum
 * counts, and is the one end that fits.
 */
const bounds = (start: Instant, { minLifetime, maxLifetime }: DomainPolicy) => {
  const latest = maxLifetime && (addDuration(start, maxLifetime) ?? LATEST);
  const earliest = minLifetime && earlier(addDuration(start, minLifetime) ?? LATEST, latest);
  return { earliest, latest };
};

/** Says which bound a field leaves, and what the bound is. */
export const outOfBounds = (field: string, bound: 'minLifetime' | 'maxLifetime', duration: Duration | undefined) =>
  new DomainError('lifetime_out_of_bounds', `The lifetime is outside the domain's ${bound}.`, {
    field,
    bound,
    ...(duration ? { amount: duration.amount, unit: duration.unit } : {}),
  });

/** Refuses an end that a caller states outside the domain's bounds; `undefined` means never. */
const refuseOutside = (field: string, start: Instant, end: Instant | undefined, policy: DomainPolicy): void => {
  const { earliest, latest } = bounds(start, policy);
  if (latest !== undefined && (end === undefined || end > latest))
    throw outOfBounds(field, 'maxLifetime', policy.maxLifetime);
  if (earliest !== undefined && end !== undefined && end < earliest)
    throw outOfBounds(field, 'minLifetime', policy.minLifetime);
};

const endOfLife = (field: string, start: Instant, duration: Duration): Instant => {
  const end = addDuration(start, duration);
  if (end === undefined) throw invalid(field, `The end would lie after ${LATEST}.`);
  return end;
};

/**
 * The expiry of a value that is made now (add or renew), from the first of these that speaks: the command, the secret's
 * own duration of before, the application's policy, the domain's policy, none.
 * Throws `lifetime_out_of_bounds` where the command states an end outside the domain's bounds, `expiry_required` where
 * the secret had an instant of its own and gets no new one, `invalid_request` for an end that is past.
 */
export const expiryOf = (question: ExpiryQuestion): Expiry => {
  const { now, notBefore, stated, own, domainPolicy } = question;
  const start = later(now, notBefore);
  if (stated.expiresIn !== undefined || stated.expiresAt !== undefined) {
    const field = stated.expiresIn ? 'expiresIn' : 'expiresAt';
    const end = stated.expiresIn ? endOfLife(field, start, stated.expiresIn) : (stated.expiresAt ?? undefined);
    if (end !== undefined && end <= now) throw invalid(field, 'The expiry must lie in the future.');
    if (end !== undefined && notBefore !== undefined && end <= notBefore)
      throw invalid(field, 'The expiry must lie after notBefore.');
    refuseOutside(field, start, end, domainPolicy);
    return { ...(end === undefined ? {} : { expiresAt: end }), source: 'command' };
  }
  if (own.kind === 'at')
    throw new DomainError('expiry_required', 'This secret was given an instant to expire at; give it a new one.', {
      field: 'expiresAt',
    });
  const expiry = withinBounds(start, inherited(start, own, question.applicationPolicy, domainPolicy), domainPolicy);
  if (expiry.expiresAt !== undefined && expiry.expiresAt <= start)
    throw invalid('notBefore', `No life is left between notBefore and ${LATEST}.`);
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
 * Refuses a domain policy that contradicts itself, judged from now: bounds that cross (`invalid_request`), an expiry
 * outside its own bounds (`lifetime_out_of_bounds`), an end beyond the last instant (`invalid_request`).
 */
export const checkDomainPolicy = (policy: DomainPolicy, now: Instant): void => {
  const earliest = policy.minLifetime && endOfLife('minLifetime', now, policy.minLifetime);
  const latest = policy.maxLifetime && endOfLife('maxLifetime', now, policy.maxLifetime);
  if (earliest !== undefined && latest !== undefined && earliest > latest)
    throw invalid('minLifetime', 'minLifetime is longer than maxLifetime.');
  if (policy.expiry) checkStatedPolicy(policy.expiry, policy, now);
};

/** Refuses an application's policy that leaves the domain's bounds, judged from now. */
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

/** How the current value of a secret got its expiry: what a preview of a policy judges it by. */
export interface PolicySubject {
  readonly valueCreatedAt: Instant;
  /** As it was when the value was made: a later change moves no expiry. */
  readonly notBefore?: Instant | undefined;
  /** Absent: never. */
  readonly expiresAt?: Instant | undefined;
  /** The secret's own `expiresIn`, the latest that was given to it. */
  readonly ownExpiresIn?: Duration | undefined;
  /** True where the secret was last given `expiresAt: null`. */
  readonly ownNever?: boolean | undefined;
  readonly expirySource: ExpirySource;
  /** The application's policy that it is to be judged by: the present one, or the new one. */
  readonly applicationPolicy: ApplicationPolicy;
}

export interface PolicyPreview extends Expiry {
  /** True where the policy would have ended the value at another instant, or would have refused its stated end. */
  readonly affected: boolean;
}

/**
 * What a value's expiry would have been, had the policies been in force when it was made. An end that its command
 * stated stays, and is affected where it lies outside the domain's bounds. Changes nothing, refuses nothing.
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
