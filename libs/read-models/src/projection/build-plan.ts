import type { Build, CollectionName, Pointer, Position } from '@rekey/ports';

/** The state of one view in the stores. `head` is read after `builds`. */
export interface Situation {
  /** Version of the view in this code. */
  readonly version: number;
  readonly identity: string;
  readonly head: Position;
  readonly pointer: Pointer | null;
  /** Builds of the view, of all versions. */
  readonly builds: readonly Build[];
  /** How long ago this process first saw the pointer in this revision, by its monotonic clock. */
  readonly pointerAgeMs: number;
  /** Builds without an owner, or whose owner's lease has timed out. */
  readonly abandoned: ReadonlySet<CollectionName>;
}

export interface Plan {
  /** Builds of this version to project into, or to be a standby for. */
  readonly run: readonly CollectionName[];
  /** The build among them that becomes active once it has caught up. */
  readonly candidate?: CollectionName;
  /** Whether to create a build, as none of this version is or can become active. */
  readonly create: boolean;
  /** Builds that are no longer needed. */
  readonly drop: readonly CollectionName[];
}

/** How long the previously active build is kept after a switch, for readers that have not noticed the switch. */
export const RETIRED_FOR_MS = 30_000;

/** Whether a build was made from the current history of the store. */
export const isUsable = (build: Build, { identity, head }: Pick<Situation, 'identity' | 'head'>): boolean =>
  build.storeIdentity === identity && build.checkpoint <= head;

/** The names of collections contain a sequence number, so younger builds of the same version sort later. */
const isYounger = (build: Pick<Build, 'version' | 'collection'>, other: Pick<Build, 'version' | 'collection'>) =>
  build.version === other.version ? build.collection > other.collection : build.version > other.version;

/** Decides which builds of a view to run, create and drop. */
export const planBuilds = (situation: Situation): Plan => {
  const { version, pointer, builds } = situation;
  const named = (collection: CollectionName | undefined) => builds.find((build) => build.collection === collection);
  const usable = (build: Build | undefined): build is Build => build !== undefined && isUsable(build, situation);
  const active = named(pointer?.collection);
  const previous = named(pointer?.previous);
  const isOurs = (build: Build | undefined): build is Build => usable(build) && build.version === version;

  // Newer code has switched: keep the build that it replaced up to date until it drops it.
  if (pointer && pointer.version > version)
    return { run: isOurs(previous) ? [previous.collection] : [], create: false, drop: [] };

  const candidate = builds
    .filter((build) => isOurs(build) && build !== active && (!usable(active) || isYounger(build, active)))
    .reduce<Build | undefined>((best, build) => (best && isYounger(best, build) ? best : build), undefined);
  const retired = previous !== candidate && previous !== active ? previous : undefined;
  const keepRetired =
    usable(retired) && situation.pointerAgeMs < RETIRED_FOR_MS && !situation.abandoned.has(retired.collection);

  const run = [active, candidate, keepRetired ? retired : undefined].filter(isOurs);
  const kept = new Set<Build | undefined>([active, candidate, keepRetired ? retired : undefined]);
  const isLeftOver = (build: Build): boolean => !kept.has(build) && (build.version <= version || build === previous);
  return {
    run: run.map((build) => build.collection),
    ...(candidate && { candidate: candidate.collection }),
    create: !candidate && !isOurs(active),
    drop: builds.filter(isLeftOver).map((build) => build.collection),
  };
};

/**
 * Returns the pointer to store as the next step of making a build active, or null if the build has not caught up. If
 * another build is active, the switch is announced first: commands that wait for a position then wait for both builds, so
 * the new build cannot become active behind a position that was already acknowledged.
 */
export const nextPointer = (
  candidate: CollectionName,
  { pointer, builds, identity, head }: Omit<Situation, 'version' | 'abandoned' | 'pointerAgeMs'>,
): Pointer | null => {
  const build = builds.find((other) => other.collection === candidate);
  if (!build || !isUsable(build, { identity, head }) || build.checkpoint < build.target) return null;
  const next = {
    view: build.view,
    version: build.version,
    collection: candidate,
    revision: (pointer?.revision ?? 0) + 1,
  };
  const active = builds.find((other) => other.collection === pointer?.collection);
  if (!pointer || !active || !isUsable(active, { identity, head })) return next;
  // Another process may have switched to this build or to a younger one since the candidate was chosen.
  if (!isYounger(build, active) || build.checkpoint < active.checkpoint) return null;
  if (pointer.previous === candidate) return { ...next, previous: active.collection };
  // One switch at a time: readers may still use the build that the previous switch replaced.
  if (builds.some((other) => other.collection === pointer.previous)) return null;
  return { ...pointer, previous: candidate, revision: next.revision };
};

/** Returns a new build name, with the next sequence number. `unique` consists of lower-case letters and digits. */
export const collectionName = (
  view: string,
  version: number,
  { builds, pointer }: Pick<Situation, 'builds' | 'pointer'>,
  unique: string,
): CollectionName => {
  const numbers = [...builds.map((build) => build.collection), pointer?.collection, pointer?.previous].map((name) =>
    Number(/\.(\d{6})[a-z0-9]*$/.exec(name ?? '')?.[1] ?? 0),
  );
  return `${view}.v${version}.${String(Math.max(0, ...numbers) + 1).padStart(6, '0')}${unique}`;
};

// ── Lease ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Without a heartbeat for this long, an owner has lost its lease. */
export const LEASE_TIMEOUT_MS = 10_000;

/** Returns the owner id of a process: its name, and which run of it. Runs of one process never overlap for long. */
export const ownerOf = (name: string, run: string): string => `${name}/${run}`;
export const nameOf = (owner: string): string => owner.slice(0, owner.lastIndexOf('/'));

/** Tracks since when each owner of a build has sent no heartbeat, by the monotonic clock of this process. */
export class LeaseWatch {
  private readonly seen = new Map<CollectionName, { owner: string; beat: number; sinceMs: number }>();

  /** Whether `owner` may claim the build: it has no other owner, or that is an earlier run of it or has timed out. */
  isFree(build: Build, owner: string, nowMs: number): boolean {
    return this.isAbandoned(build, owner, nowMs) || build.owner === owner;
  }

  /** Whether no process projects into the build. */
  isAbandoned(build: Build, owner: string, nowMs: number): boolean {
    if (build.owner === '') return true;
    if (build.owner !== owner && nameOf(build.owner) === nameOf(owner)) return true;
    const known = this.seen.get(build.collection);
    if (known?.owner === build.owner && known.beat === build.beat) return nowMs - known.sinceMs >= LEASE_TIMEOUT_MS;
    this.seen.set(build.collection, { owner: build.owner, beat: build.beat, sinceMs: nowMs });
    return false;
  }
}

/** State of a lease on a build. `restored`: a backup with an older checkpoint has replaced the build. */
export type LeaseState = 'held' | 'moved' | 'lost' | 'gone' | 'restored';

/**
 * Returns the state of a lease after an `advance` to `attempted` that was rejected or whose outcome is unknown.
 * `checkpoint` is the last one that the owner knows it stored.
 */
export const leaseStateOf = (
  build: Build | undefined,
  owner: string,
  checkpoint: Position,
  attempted: Position,
): LeaseState => {
  if (!build) return 'gone';
  if (build.checkpoint < checkpoint) return 'restored';
  if (build.owner !== owner) return 'lost';
  if (build.checkpoint === checkpoint) return 'held';
  return build.checkpoint === attempted ? 'moved' : 'lost';
};
