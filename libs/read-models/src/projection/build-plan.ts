import type { Build, CollectionName, Pointer, Position } from '@rekey/ports';

/** What a look at the stores showed of one view. `head` is taken after `builds`. */
export interface Situation {
  /** Version of the view in this code. */
  readonly version: number;
  readonly identity: string;
  readonly head: Position;
  readonly pointer: Pointer | null;
  /** Of the view, all versions. */
  readonly builds: readonly Build[];
  /** For how long the pointer has stood as it is, by the own monotonic clock. */
  readonly pointerAgeMs: number;
  /** Builds whose owner has given no sign of life for long, or has none. */
  readonly lifeless: ReadonlySet<CollectionName>;
}

export interface Plan {
  /** Builds of this version to project into, or to stand by for. */
  readonly run: readonly CollectionName[];
  /** The one among them that is to answer as soon as it is far enough. */
  readonly candidate?: CollectionName;
  /** No build of this version can become the answering one: make one. */
  readonly create: boolean;
  /** Builds that nobody may need any more. */
  readonly drop: readonly CollectionName[];
}

/** How long the build that answered before a switch is kept, for those who have not noticed. */
export const RETIRED_FOR_MS = 30_000;

/** Whether a build was made from the history that the store now has. */
export const isUsable = (build: Build, { identity, head }: Pick<Situation, 'identity' | 'head'>): boolean =>
  build.storeIdentity === identity && build.checkpoint <= head;

/** Collections carry a running number, so of two builds of one version the younger one sorts after the other. */
const isYounger = (build: Pick<Build, 'version' | 'collection'>, other: Pick<Build, 'version' | 'collection'>) =>
  build.version === other.version ? build.collection > other.collection : build.version > other.version;

/** What to do about the builds of a view. */
export const planBuilds = (situation: Situation): Plan => {
  const { version, pointer, builds } = situation;
  const named = (collection: CollectionName | undefined) => builds.find((build) => build.collection === collection);
  const usable = (build: Build | undefined): build is Build => build !== undefined && isUsable(build, situation);
  const active = named(pointer?.collection);
  const previous = named(pointer?.previous);
  const isOurs = (build: Build | undefined): build is Build => usable(build) && build.version === version;

  // Newer code has taken over: keep up what it replaced for as long as it keeps it.
  if (pointer && pointer.version > version)
    return { run: isOurs(previous) ? [previous.collection] : [], create: false, drop: [] };

  const candidate = builds
    .filter((build) => isOurs(build) && build !== active && (!usable(active) || isYounger(build, active)))
    .reduce<Build | undefined>((best, build) => (best && isYounger(best, build) ? best : build), undefined);
  const retired = previous !== candidate && previous !== active ? previous : undefined;
  const keepRetired =
    usable(retired) && situation.pointerAgeMs < RETIRED_FOR_MS && !situation.lifeless.has(retired.collection);

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
 * The next step towards letting a build answer: the pointer to store, or null where the build is not far enough yet.
 * While another build answers, the switch is announced first: whoever waits until a position is visible to all then
 * waits for both builds, and so the new one cannot begin to answer behind a place that somebody was told of.
 */
export const nextPointer = (
  candidate: CollectionName,
  { pointer, builds, identity, head }: Omit<Situation, 'version' | 'lifeless' | 'pointerAgeMs'>,
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
  // Somebody may have switched since the candidate was chosen, to this very build or to a younger one.
  if (!isYounger(build, active) || build.checkpoint < active.checkpoint) return null;
  if (pointer.previous === candidate) return { ...next, previous: active.collection };
  // One at a time: what a switch before this one replaced may still be read from.
  if (builds.some((other) => other.collection === pointer.previous)) return null;
  return { ...pointer, previous: candidate, revision: next.revision };
};

/** Name of a new build: younger than all there are, and never used before (`unique`: lower-case letters and digits). */
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

/** An owner that gave no sign of life for so long has lost its lease. */
export const LIFELESS_AFTER_MS = 10_000;

/** An owner's name: who it is, and which of its lives; the lives of one never overlap for long. */
export const ownerOf = (name: string, life: string): string => `${name}/${life}`;
export const nameOf = (owner: string): string => owner.slice(0, owner.lastIndexOf('/'));

/** Remembers since when each owner of a build has been silent, by the own monotonic clock. */
export class LeaseWatch {
  private readonly seen = new Map<CollectionName, { owner: string; beat: number; sinceMs: number }>();

  /** Whether the build is free for `owner`: nobody has it, an earlier life of `owner` has it, or its owner is silent. */
  isFree(build: Build, owner: string, nowMs: number): boolean {
    return this.isLifeless(build, owner, nowMs) || build.owner === owner;
  }

  /** Whether nobody projects into the build. */
  isLifeless(build: Build, owner: string, nowMs: number): boolean {
    if (build.owner === '') return true;
    if (build.owner !== owner && nameOf(build.owner) === nameOf(owner)) return true;
    const known = this.seen.get(build.collection);
    if (known?.owner === build.owner && known.beat === build.beat) return nowMs - known.sinceMs >= LIFELESS_AFTER_MS;
    this.seen.set(build.collection, { owner: build.owner, beat: build.beat, sinceMs: nowMs });
    return false;
  }
}

/** What has become of a build that `owner` had at a checkpoint. */
export type LeaseState = 'held' | 'moved' | 'lost' | 'gone' | 'put-back';

/**
 * Judges a build after an `advance` that was refused or whose answer is unknown. `attempted`: where it was to go.
 * `put-back`: the checkpoint lies before one that was stored, so documents may be older than what was folded since.
 */
export const leaseStateOf = (
  build: Build | undefined,
  owner: string,
  checkpoint: Position,
  attempted: Position,
): LeaseState => {
  if (!build) return 'gone';
  if (build.checkpoint < checkpoint) return 'put-back';
  if (build.owner !== owner) return 'lost';
  if (build.checkpoint === checkpoint) return 'held';
  return build.checkpoint === attempted ? 'moved' : 'lost';
};
