import fc from 'fast-check';
import type { Filter, Query, ReadModels, ViewDocument, ViewIndex } from '../read-models';
import { at, buildOf, COLLECTION, type ReadModelsUnderTest } from './read-models-store';

type Scalar = string | number | boolean | null;

/** A document with every kind of field that is searched: texts, numbers, truth values, missing and null ones. */
interface Item extends ViewDocument {
  readonly kind?: string | null;
  readonly rank?: number | null;
  readonly live?: boolean | null;
  readonly owner?: { readonly name?: string | null };
}

const SEARCHED = 'secrets.v1.search';
const INDEXES: readonly ViewIndex[] = [
  { name: 'kind-rank', fields: ['kind', 'rank'] },
  { name: 'rank', fields: ['rank'] },
  { name: 'live', fields: ['live'] },
  { name: 'owner', fields: ['owner.name', 'kind'] },
];

const TEXTS = [
  '',
  'a',
  'b',
  'A',
  'Ab',
  'aB',
  'ä',
  'Ä',
  'été',
  'ÉTÉ',
  'жЖ',
  '10',
  '9',
  'a%b',
  'a_b',
  'x*y',
  'x?y',
  '[z]',
  ']',
  '^',
  '\\',
  "'",
  '"',
  '\uffee',
  '\u{1f511}',
];
const NUMBERS = [-1.5, -1, 0, 0.5, 1, 2, 9, 10, 1e15, 2 ** 53 - 1];

const FIELDS: Readonly<Record<string, readonly Scalar[]>> = {
  kind: TEXTS,
  rank: NUMBERS,
  live: [true, false],
  'owner.name': TEXTS,
};

const valueOf = (item: Item, field: string): Scalar => {
  const value = field
    .split('.')
    .reduce<unknown>((part, name) => (part as Record<string, unknown> | null)?.[name], item);
  return (value ?? null) as Scalar;
};

/** Order of texts by code point, as engines that compare UTF-8 bytes have it; null before all. */
const compare = (a: Scalar, b: Scalar): number => {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null);
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return Number(a) - Number(b);
};

/** What the conditions mean, in the plainest words. */
const fits = (item: Item, filter: Filter): boolean => {
  if ('and' in filter) return filter.and.every((part) => fits(item, part));
  if ('or' in filter) return filter.or.some((part) => fits(item, part));
  const value = valueOf(item, filter.field);
  if (filter.op === 'in') return filter.value.includes(value);
  if (filter.op === 'contains')
    return typeof value === 'string' && value.toLowerCase().includes(filter.value.toLowerCase());
  if (filter.op === 'eq') return value === filter.value;
  if (filter.op === 'ne') return value !== filter.value;
  if (value === null || filter.value === null) return false;
  const order = compare(value, filter.value);
  return { lt: order < 0, lte: order <= 0, gt: order > 0, gte: order >= 0 }[filter.op];
};

const sorted = (items: readonly Item[], field: string, descending: boolean): Item[] =>
  [...items].sort((a, b) => {
    const order = compare(valueOf(a, field), valueOf(b, field)) || compare(a._id, b._id);
    return descending ? -order : order;
  });

// ── Things to try ──────────────────────────────────────────────────────────────────────────────────────────────────

const some = <T>(values: readonly T[]): fc.Arbitrary<T | null | undefined> =>
  fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...values) }, fc.constantFrom(null, undefined));

const anyItem = fc.record({
  kind: some(TEXTS.slice(0, 6)),
  rank: some(NUMBERS.slice(0, 5)),
  live: some([true, false]),
  name: some(TEXTS),
});

const anyItems = fc.array(anyItem, { maxLength: 25 }).map((drafts) =>
  drafts.map(({ kind, rank, live, name }, index): Item => ({
    _id: `id-${(index * 7) % 25}`,
    position: at(index + 1),
    ...(kind === undefined ? {} : { kind }),
    ...(rank === undefined ? {} : { rank }),
    ...(live === undefined ? {} : { live }),
    ...(name === undefined ? {} : { owner: name === null && index % 2 ? {} : { name } }),
  })),
);

const anyField = fc.constantFrom('kind', 'rank', 'live', 'owner.name');
const anyCondition: fc.Arbitrary<Filter> = anyField.chain((field) => {
  const value = fc.constantFrom<Scalar>(...(FIELDS[field] ?? []));
  const conditions: fc.Arbitrary<Filter>[] = [
    fc.record({
      field: fc.constant(field),
      op: fc.constantFrom('eq' as const, 'ne' as const),
      value: fc.oneof(value, fc.constant(null)),
    }),
    fc.record({
      field: fc.constant(field),
      op: fc.constantFrom('lt' as const, 'lte' as const, 'gt' as const, 'gte' as const),
      value,
    }),
    fc.record({
      field: fc.constant(field),
      op: fc.constant('in' as const),
      value: fc.array(fc.oneof(value, fc.constant(null)), { maxLength: 3 }),
    }),
  ];
  if (typeof FIELDS[field]?.[0] === 'string')
    conditions.push(
      fc.record({ field: fc.constant(field), op: fc.constant('contains' as const), value: fc.constantFrom(...TEXTS) }),
    );
  return fc.oneof(...conditions);
});
const { anyFilter } = fc.letrec<{ anyFilter: Filter }>((tie) => ({
  anyFilter: fc.oneof(
    { maxDepth: 2 },
    anyCondition,
    fc.record({ and: fc.array(tie('anyFilter'), { maxLength: 3 }) }),
    fc.record({ or: fc.array(tie('anyFilter'), { maxLength: 3 }) }),
  ),
}));

/** The part of the conformance of `ReadModels` that searches, sorts and pages. */
export const readModelsQueriesConformance = (store: () => ReadModelsUnderTest): void => {
  describe('queries', () => {
    let models: ReadModels;
    let round = 0;
    let collection = SEARCHED;

    beforeEach(async () => {
      models = await store().open();
    });

    const fill = async (items: readonly Item[]): Promise<void> => {
      collection = `${SEARCHED}-${++round}`;
      await models.createBuild(buildOf({ collection }), INDEXES);
      await models.put(collection, items);
    };
    const ids = (items: readonly Item[]): string[] => items.map(({ _id }) => _id);
    const find = async (query: Partial<Query>): Promise<string[]> =>
      ids(await models.find<Item>(collection, { limit: 1_000, ...query }));

    it('finds and counts exactly the matching documents', async () => {
      await fc.assert(
        fc.asyncProperty(anyItems, fc.array(anyFilter, { minLength: 1, maxLength: 12 }), async (items, filters) => {
          await fill(items);
          for (const filter of filters) {
            const fitting = sorted(
              items.filter((item) => fits(item, filter)),
              '_id',
              false,
            );
            expect(await models.find(collection, { filter, limit: 1_000 })).toEqual(fitting);
            expect(await models.count(collection, filter)).toBe(fitting.length);
          }
          await models.dropBuild(collection);
        }),
        { numRuns: 30 },
      );
    });

    it('sorts and pages through each document exactly once, with nulls and ties', async () => {
      const anySort = fc.record({
        field: fc.oneof(anyField, fc.constant('_id')),
        descending: fc.boolean(),
        limit: fc.integer({ min: 1, max: 6 }),
        filter: fc.option(anyFilter, { nil: undefined }),
      });
      await fc.assert(
        fc.asyncProperty(anyItems, fc.array(anySort, { minLength: 1, maxLength: 8 }), async (items, sorts) => {
          await fill(items);
          for (const { field, descending, limit, filter } of sorts) {
            const fitting = filter ? items.filter((item) => fits(item, filter)) : items;
            const seen: Item[] = [];
            for (let last: Item | undefined; ; last = seen.at(-1)) {
              const page = await models.find<Item>(collection, {
                limit,
                sort: { field, descending },
                ...(filter ? { filter } : {}),
                ...(last ? { after: { value: valueOf(last, field), id: last._id } } : {}),
              });
              expect(page.length).toBeLessThanOrEqual(limit);
              if (page.length === 0) break;
              seen.push(...page);
            }
            expect(ids(seen)).toEqual(ids(sorted(fitting, field, descending)));
          }
          await models.dropBuild(collection);
        }),
        { numRuns: 25 },
      );
    });

    const named = (...names: string[]): Item[] =>
      names.map((name, index) => ({ _id: `id-${index}`, position: at(1), owner: { name } }));

    it('finds a part of a text ignoring case, without wildcards', async () => {
      await fill(named('Größe 100%', 'GRÖSSE', 'a.b*c', 'aXbYc', '[a-c]', 'ЖУК', 'x'));
      const contains = (value: string): Promise<string[]> =>
        find({ filter: { field: 'owner.name', op: 'contains', value } });
      expect(await contains('gRÖ')).toEqual(['id-0', 'id-1']);
      expect(await contains('0%')).toEqual(['id-0']);
      expect(await contains('жук')).toEqual(['id-5']);
      expect(await contains('A.B')).toEqual(['id-2']);
      expect(await contains('b*c')).toEqual(['id-2']);
      expect(await contains('[A-')).toEqual(['id-4']);
      expect(await contains('.*')).toEqual([]);
      expect(await contains('a_b')).toEqual([]);
      expect(await contains('')).toHaveLength(7);
    });

    it('matches no document with a comparison with null', async () => {
      await fill([{ _id: 'none', position: at(1) }, ...named('a')]);
      for (const op of ['lt', 'lte', 'gt', 'gte'] as const)
        expect(await find({ filter: { field: 'owner.name', op, value: null } })).toEqual([]);
    });

    it('finds by id', async () => {
      await fill(named('a', 'b', 'c'));
      expect(await find({ filter: { field: '_id', op: 'in', value: ['id-2', 'id-0', 'x'] } })).toEqual([
        'id-0',
        'id-2',
      ]);
      expect(await find({ filter: { field: '_id', op: 'gt', value: 'id-1' } })).toEqual(['id-2']);
    });

    it('finds documents by their latest content only', async () => {
      await fill(named('a', 'b'));
      await models.put(collection, [{ _id: 'id-0', position: at(2), owner: { name: 'z' } } as Item]);
      expect(await find({ filter: { field: 'owner.name', op: 'eq', value: 'a' } })).toEqual([]);
      expect(await find({ sort: { field: 'owner.name' } })).toEqual(['id-1', 'id-0']);
    });

    it('returns no more documents than the limit', async () => {
      await fill(named(...Array.from({ length: 30 }, (_, index) => `n${index}`)));
      expect(await find({ limit: 0 })).toEqual([]);
      expect(await find({ limit: 7 })).toHaveLength(7);
      expect(await models.count(collection)).toBe(30);
    });

    it('accepts a list of thousands of values', async () => {
      await fill(named('n1', 'n4999'));
      const value = Array.from({ length: 5_000 }, (_, index) => `n${index}`);
      expect(await find({ filter: { field: 'owner.name', op: 'in', value } })).toHaveLength(2);
    });

    it('refuses a field without a declared index, and names with a meaning to an engine', async () => {
      await fill(named('a'));
      for (const field of [
        'other',
        'owner',
        'owner.other',
        'name',
        'document',
        'f:kind',
        '$where',
        "a' OR '1",
        '"',
        '',
      ]) {
        const refusal = { code: 'invalid_request', details: { field } };
        await expect(find({ filter: { field, op: 'eq', value: 'a' } })).rejects.toMatchObject(refusal);
        await expect(find({ sort: { field } })).rejects.toMatchObject(refusal);
        await expect(models.count(collection, { field, op: 'eq', value: 'a' })).rejects.toMatchObject(refusal);
      }
      expect(await find({})).toEqual(['id-0']);
    });

    it('does not interpret values as parts of a query', async () => {
      await fill(named('a'));
      for (const value of ["' OR '1'='1", '"', '$ne', '{"$gt":""}', '?', '\\', ';--'])
        for (const op of ['eq', 'contains'] as const)
          expect(await find({ filter: { field: 'owner.name', op, value } })).toEqual([]);
    });

    it('does not find documents of another collection', async () => {
      await fill(named('a'));
      expect(await models.find(COLLECTION, { limit: 10 })).toEqual([]);
    });
  });
};
