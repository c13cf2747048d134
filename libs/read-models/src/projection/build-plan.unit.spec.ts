import type { Build, Pointer } from '@rekey/ports';
import {
  LEASE_TIMEOUT_MS,
  LeaseWatch,
  RETIRED_FOR_MS,
  collectionName,
  nextPointer,
  ownerOf,
  planBuilds,
  leaseStateOf,
  type Situation,
} from './build-plan';

const at = (place: number): string => String(place).padStart(6, '0');

const build = (collection: string, checkpoint: number, more: Partial<Build> = {}): Build => ({
  collection,
  view: 'secrets',
  version: Number(/\.v(\d+)\./.exec(collection)?.[1]),
  storeIdentity: 'here',
  target: at(10),
  checkpoint: at(checkpoint),
  owner: 'one/1',
  beat: 3,
  ...more,
});

const ONE = 'secrets.v1.000001a';
const TWO = 'secrets.v1.000002b';
const THREE = 'secrets.v1.000003c';
const NEXT_VERSION = 'secrets.v2.000002d';

const pointer = (collection: string, more: Partial<Pointer> = {}): Pointer => ({
  view: 'secrets',
  version: Number(/\.v(\d+)\./.exec(collection)?.[1]),
  collection,
  revision: 4,
  ...more,
});

const situation = (more: Partial<Situation> = {}): Situation => ({
  version: 1,
  identity: 'here',
  head: at(20),
  pointer: pointer(ONE),
  builds: [build(ONE, 20)],
  pointerAgeMs: 0,
  abandoned: new Set(),
  ...more,
});

describe('planBuilds', () => {
  it('creates a build if there is none', () => {
    expect(planBuilds(situation({ pointer: null, builds: [] }))).toEqual({ run: [], create: true, drop: [] });
  });

  it('continues the first build', () => {
    const plan = planBuilds(situation({ pointer: null, builds: [build(ONE, 3)] }));
    expect(plan).toEqual({ run: [ONE], candidate: ONE, create: false, drop: [] });
  });

  it('keeps the active build up to date', () => {
    expect(planBuilds(situation())).toEqual({ run: [ONE], create: false, drop: [] });
  });

  it('runs a younger build beside the active one', () => {
    const plan = planBuilds(situation({ builds: [build(ONE, 20), build(TWO, 3)] }));
    expect(plan).toEqual({ run: [ONE, TWO], candidate: TWO, create: false, drop: [] });
  });

  it('drops all younger builds but the youngest', () => {
    const plan = planBuilds(situation({ builds: [build(ONE, 20), build(TWO, 3), build(THREE, 1)] }));
    expect(plan).toEqual({ run: [ONE, THREE], candidate: THREE, create: false, drop: [TWO] });
  });

  it.each([
    ['is gone', []],
    ['belongs to another history', [build(ONE, 5, { storeIdentity: 'elsewhere' })]],
    ['is ahead of the store', [build(ONE, 21)]],
  ])('creates a build if the active one %s, and drops nothing before the switch', (_, builds) => {
    expect(planBuilds(situation({ builds }))).toEqual({ run: [], create: true, drop: [] });
  });

  it('creates a build of its own version beside an older one', () => {
    expect(planBuilds(situation({ version: 2 }))).toEqual({ run: [], create: true, drop: [] });
    const plan = planBuilds(situation({ version: 2, builds: [build(ONE, 20), build(NEXT_VERSION, 4)] }));
    expect(plan).toEqual({ run: [NEXT_VERSION], candidate: NEXT_VERSION, create: false, drop: [] });
  });

  describe('after a switch', () => {
    const switched = { pointer: pointer(TWO, { previous: ONE }), builds: [build(ONE, 20), build(TWO, 20)] };

    it('keeps the previous build up to date for a while', () => {
      const plan = planBuilds(situation({ ...switched, pointerAgeMs: RETIRED_FOR_MS - 1 }));
      expect(plan).toEqual({ run: [TWO, ONE], create: false, drop: [] });
    });

    it('drops the previous build after that', () => {
      const plan = planBuilds(situation({ ...switched, pointerAgeMs: RETIRED_FOR_MS }));
      expect(plan).toEqual({ run: [TWO], create: false, drop: [ONE] });
    });

    it('drops the previous build at once if it has no owner', () => {
      expect(planBuilds(situation({ ...switched, abandoned: new Set([ONE]) })).drop).toEqual([ONE]);
    });

    it('makes the previous build active again if the new one is lost', () => {
      const plan = planBuilds(situation({ ...switched, builds: [build(ONE, 20)] }));
      expect(plan).toEqual({ run: [ONE], candidate: ONE, create: false, drop: [] });
    });

    it('does not touch a build of newer code, but keeps the replaced one up to date', () => {
      const newer = {
        pointer: pointer(NEXT_VERSION, { previous: ONE }),
        builds: [build(ONE, 20), build(NEXT_VERSION, 20)],
      };
      expect(planBuilds(situation(newer))).toEqual({ run: [ONE], create: false, drop: [] });
      expect(planBuilds(situation({ ...newer, builds: [build(NEXT_VERSION, 20)] }))).toEqual({
        run: [],
        create: false,
        drop: [],
      });
    });
  });

  it('continues a switch that was only announced', () => {
    const announced = { pointer: pointer(ONE, { previous: TWO }), builds: [build(ONE, 20), build(TWO, 20)] };
    expect(planBuilds(situation(announced))).toEqual({ run: [ONE, TWO], candidate: TWO, create: false, drop: [] });
  });

  it('drops a build of newer code that was announced and then abandoned', () => {
    const left = {
      pointer: pointer(ONE, { previous: NEXT_VERSION }),
      builds: [build(ONE, 20), build(NEXT_VERSION, 20)],
    };
    expect(planBuilds(situation(left)).drop).toEqual([]);
    expect(planBuilds(situation({ ...left, pointerAgeMs: RETIRED_FOR_MS })).drop).toEqual([NEXT_VERSION]);
  });
});

describe('nextPointer', () => {
  const next = (more: Partial<Situation>) => nextPointer(TWO, situation(more));

  it('makes the first build active once it is past the head at its creation', () => {
    expect(next({ pointer: null, builds: [build(TWO, 9)] })).toBeNull();
    expect(next({ pointer: null, builds: [build(TWO, 10)] })).toEqual({ ...pointer(TWO), revision: 1 });
  });

  it('announces a switch before making it', () => {
    const builds = [build(ONE, 20), build(TWO, 20)];
    const announced = next({ builds });
    expect(announced).toEqual({ ...pointer(ONE), previous: TWO, revision: 5 });
    expect(next({ builds, pointer: announced })).toEqual({ ...pointer(TWO), previous: ONE, revision: 6 });
  });

  it('does not switch to a build that is behind the active one', () => {
    const builds = [build(ONE, 20), build(TWO, 19)];
    expect(next({ builds })).toBeNull();
    expect(next({ builds, pointer: pointer(ONE, { previous: TWO }) })).toBeNull();
  });

  it('does nothing if the build is active already or a younger one is', () => {
    expect(next({ pointer: pointer(TWO), builds: [build(TWO, 20)] })).toBeNull();
    expect(next({ pointer: pointer(TWO), builds: [build(ONE, 20), build(TWO, 20)] })).toBeNull();
    for (const younger of [THREE, NEXT_VERSION])
      expect(next({ pointer: pointer(younger), builds: [build(TWO, 20), build(younger, 20)] })).toBeNull();
  });

  it('does not start a switch before the previous one is complete', () => {
    const builds = [build(ONE, 20), build(TWO, 20), build(THREE, 20)];
    expect(nextPointer(THREE, situation({ builds, pointer: pointer(TWO, { previous: ONE }) }))).toBeNull();
  });

  it('switches at once if the active build is gone, belongs to another history or is ahead of the store', () => {
    const others = [[], [build(ONE, 20, { storeIdentity: 'elsewhere' })], [build(ONE, 21)]];
    for (const other of others)
      expect(next({ builds: [...other, build(TWO, 10)] })).toEqual({ ...pointer(TWO), revision: 5 });
  });

  it('does not switch to a build that belongs to another history or is gone', () => {
    expect(next({ pointer: null, builds: [build(TWO, 20, { storeIdentity: 'elsewhere' })] })).toBeNull();
    expect(next({ pointer: null, builds: [] })).toBeNull();
  });
});

describe('collectionName', () => {
  it('has the next sequence number', () => {
    expect(collectionName('secrets', 1, { builds: [], pointer: null }, 'x')).toBe('secrets.v1.000001x');
    expect(collectionName('secrets', 1, situation({ builds: [build(TWO, 1)] }), 'x')).toBe('secrets.v1.000003x');
    expect(collectionName('secrets', 2, { builds: [], pointer: pointer(THREE) }, 'x')).toBe('secrets.v2.000004x');
  });
});

describe('LeaseWatch', () => {
  const mine = ownerOf('one', '2');

  it('frees builds without an owner, its own, and those of an earlier run', () => {
    const watch = new LeaseWatch();
    for (const owner of ['', mine, ownerOf('one', '1')])
      expect(watch.isFree(build(ONE, 0, { owner }), mine, 0)).toBe(true);
    expect(watch.isFree(build(ONE, 0, { owner: ownerOf('two', '1') }), mine, 0)).toBe(false);
  });

  it('frees a build of another owner only after watching it miss its heartbeats', () => {
    const watch = new LeaseWatch();
    const of = (beat: number) => build(ONE, 0, { owner: 'two/1', beat });
    expect(watch.isFree(of(1), mine, 5_000)).toBe(false);
    expect(watch.isFree(of(1), mine, 5_000 + LEASE_TIMEOUT_MS - 1)).toBe(false);
    expect(watch.isFree(of(2), mine, 5_000 + LEASE_TIMEOUT_MS)).toBe(false);
    expect(watch.isFree(of(2), mine, 5_000 + 2 * LEASE_TIMEOUT_MS)).toBe(true);
  });
});

describe('leaseStateOf', () => {
  it.each([
    ['gone', undefined],
    ['restored', build(ONE, 4, { owner: 'me' })],
    ['restored', build(ONE, 4, { owner: 'other' })],
    ['lost', build(ONE, 5, { owner: 'other' })],
    ['lost', build(ONE, 9, { owner: 'me' })],
    ['held', build(ONE, 5, { owner: 'me' })],
    ['moved', build(ONE, 7, { owner: 'me' })],
  ])('is %s', (state, found) => {
    expect(leaseStateOf(found, 'me', at(5), at(7))).toBe(state);
  });
});
