import { addDuration, type Instant } from './expiry-policy';

/**
 * Which versions of a secret authenticate at an instant, and the status that follows from it. Everything that judges
 * a secret by the time uses these functions, so that the check, the inventory and the notices cannot disagree.
 */

/** Whether an instant `until` has been reached. It is exclusive: a value is expired when `now >= expiresAt`. */
export const hasEnded = (until: Instant | undefined, now: Instant): boolean => until !== undefined && now >= until;

/** Whether one version authenticates (`live`), or why it does not. */
export type VersionState = 'live' | 'revoked' | 'suspended' | 'pending' | 'expired';

/**
 * Returns the state of one version, which is valid until `validUntil`, of a secret with this status and `notBefore`.
 * Takes plain arguments because it is on the path of every check.
 */
export const versionStateAt = (
  status: 'active' | 'suspended' | 'revoked',
  notBefore: Instant | undefined,
  validUntil: Instant | undefined,
  now: Instant,
): VersionState => {
  if (status !== 'active') return status;
  if (notBefore !== undefined && now < notBefore) return 'pending';
  return hasEnded(validUntil, now) ? 'expired' : 'live';
};

/** What liveness depends on. The versions before the previous one never authenticate. */
export interface Lifecycle {
  readonly status: 'active' | 'suspended' | 'revoked';
  /** The current version. */
  readonly version: number;
  readonly notBefore?: Instant | undefined;
  /** Of the current version. Missing: never. */
  readonly expiresAt?: Instant | undefined;
  /** End of the overlap: the previous version authenticates until then. Missing: no overlap. */
  readonly previousValidUntil?: Instant | undefined;
}

/**
 * Returns the versions of a secret that authenticate at an instant, the current one first: the current version until
 * it expires and the previous one until the overlap ends, both from `notBefore` on; none of a suspended or revoked
 * secret. Networks and the states of the application and the domain do not count.
 */
export const liveVersions = (secret: Lifecycle, now: Instant): number[] => {
  const { status, version, notBefore, expiresAt, previousValidUntil } = secret;
  const live: number[] = [];
  if (versionStateAt(status, notBefore, expiresAt, now) === 'live') live.push(version);
  const overlaps = previousValidUntil !== undefined;
  if (overlaps && versionStateAt(status, notBefore, previousValidUntil, now) === 'live') live.push(version - 1);
  return live;
};

/** Whether any version of a secret authenticates at an instant. */
export const isLive = (secret: Omit<Lifecycle, 'version'>, now: Instant): boolean =>
  liveVersions({ ...secret, version: 1 }, now).length > 0;

export type StatusAt = 'active' | 'expiring' | 'pending' | 'expired' | 'suspended' | 'revoked';

/**
 * Returns the status of a secret at an instant, the first of these that applies:
 * - `revoked`, `suspended`: by command, whatever the instants say;
 * - `expired`: the current version has expired and no overlap runs, so the secret does not authenticate without a renewal;
 * - `pending`: before `notBefore`;
 * - `expiring`: it authenticates, but its current version expires within `expiringWithinDays` days, or has expired and
 *   only the previous version still authenticates;
 * - `active`: it authenticates.
 *
 * Without `expiringWithinDays`, `expiring` is not told from `active`. So a secret is `active` or `expiring` exactly
 * when `liveVersions` is not empty.
 */
export function statusAt(secret: Omit<Lifecycle, 'version'>, now: Instant): Exclude<StatusAt, 'expiring'>;
export function statusAt(secret: Omit<Lifecycle, 'version'>, now: Instant, expiringWithinDays: number): StatusAt;
export function statusAt(secret: Omit<Lifecycle, 'version'>, now: Instant, expiringWithinDays?: number): StatusAt {
  const { status, expiresAt, previousValidUntil } = secret;
  if (status !== 'active') return status;
  if (!isLive(secret, now)) {
    const overlapEnded = previousValidUntil === undefined || hasEnded(previousValidUntil, now);
    return hasEnded(expiresAt, now) && overlapEnded ? 'expired' : 'pending';
  }
  if (expiringWithinDays === undefined) return 'active';
  return hasEnded(expiresAt, expiryHorizon(now, expiringWithinDays)) ? 'expiring' : 'active';
}

/** Returns the latest expiry that counts as `expiring`. Compares as later than every instant where it exceeds the calendar. */
export const expiryHorizon = (now: Instant, expiringWithinDays: number): Instant =>
  expiringWithinDays > 0 ? (addDuration(now, { amount: expiringWithinDays, unit: 'days' }) ?? '~') : now;
