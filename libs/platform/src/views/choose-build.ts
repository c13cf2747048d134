import type { Build, CollectionName, Pointer, Position } from '@rekey/ports';

export const NOT_BUILT = 'not built yet';
export const GONE = 'the build is gone';

/** The stores as last looked up. `head` is read after `builds`. */
export interface ViewSituation {
  readonly pointer: Pointer | null;
  readonly builds: readonly Build[];
  /** Versions of the view that this process can read. */
  readonly versions: readonly number[];
  /** Identity of the event store. */
  readonly identity: string;
  /** Position of the event store's last event. */
  readonly head: Position;
}

/**
 * Returns the build that a reader should use, or why there is none. `adopted` is the build that it reads now, with the
 * checkpoint that it must not fall behind.
 */
export const chooseBuild = (
  { pointer, builds, versions, identity, head }: ViewSituation,
  adopted: { readonly collection: CollectionName; readonly floor: Position } | undefined,
): { readonly build: Build } | { readonly refusal: string } => {
  const active = builds.find((build) => build.collection === pointer?.collection);
  const refusal = refusalOf(pointer, active, versions, identity, head);
  // Right after a switch, the new build may be a few events behind what was read from the old one: keep the old one.
  const behind = active === undefined || (adopted !== undefined && active.checkpoint < adopted.floor);
  const previous = builds.find((build) => build.collection === pointer?.previous);
  const keep =
    behind &&
    adopted !== undefined &&
    previous?.collection === adopted.collection &&
    previous.checkpoint >= adopted.floor &&
    refusalOf(pointer, previous, [previous.version], identity, head) === undefined;
  if (keep && previous && refusal === undefined) return { build: previous };
  return active && refusal === undefined ? { build: active } : { refusal: refusal ?? NOT_BUILT };
};

const refusalOf = (
  pointer: Pointer | null,
  build: Build | undefined,
  versions: readonly number[],
  identity: string,
  head: Position,
): string | undefined => {
  if (!pointer) return NOT_BUILT;
  if (!build) return GONE;
  if (!versions.includes(build.version)) return `this release cannot read version ${build.version} of the view`;
  if (build.storeIdentity !== identity) return 'the build was made from another event store';
  if (build.checkpoint > head) return 'the build is ahead of the event store';
  return undefined;
};
