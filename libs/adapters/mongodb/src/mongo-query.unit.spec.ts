import fc from 'fast-check';
import { conditionOf, nameOf, pageQuery, searchable, searchedValue } from './mongo-query';

const key = (field: string): string => (field === '_id' ? field : `f.${nameOf(field)}`);
const byCodePoint = (a: string, b: string): number => {
  const [left, right] = [[...a], [...b]].map((text) => text.map((each) => each.codePointAt(0) ?? 0)) as [
    number[],
    number[],
  ];
  for (const [index, point] of left.entries()) if (point !== right[index]) return point - (right[index] ?? -1);
  return left.length - right.length;
};
/** As a server that compares UTF-16 does it. */
const byUnit = (a: string, b: string): number => Number(a > b) - Number(a < b);
const byByte = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom('a', 'B', '0', 'e', '\ud7ff', '\ue000', '\uffee', '\u{1f511}', '\u{10ffff}', '\ud83d', '\udd11'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 6,
});

describe('a searchable text', () => {
  it('sorts by code point whether a server compares UTF-8 or UTF-16, and is unique per text', () => {
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        const expected = Math.sign(byCodePoint(a, b));
        const [left, right] = [searchable(a), searchable(b)];
        expect(Math.sign(byUnit(left, right))).toBe(expected);
        expect(Math.sign(byByte(left, right))).toBe(expected);
        expect(left === right).toBe(a === b);
      }),
      { numRuns: 1_000 },
    );
  });

  it('leaves most texts unchanged', () => {
    for (const text of ['', 'Größe 100%', 'ЖУК', '漢字', 'application-7']) expect(searchable(text)).toBe(text);
  });

  it('survives a round trip through BSON', () => {
    fc.assert(fc.property(anyText, (text) => !/\p{Surrogate}/u.test(searchable(text))));
  });
});

describe('contains', () => {
  const matches = (text: string, part: string): boolean => {
    const condition = conditionOf({ field: 'name', op: 'contains', value: part }, key);
    const { $regex } = condition['f.name'] as { $regex: string };
    // JavaScript writes a code point by its number with a `u`.
    return new RegExp($regex.replaceAll('\\x{', '\\u{'), 'u').test(searchable(text));
  };

  it.each([
    ['Größe 100%', 'gRÖ', true],
    ['ЖУК', 'жук', true],
    ['a.b*c', 'A.B*', true],
    ['aXb', 'a.b', false],
    ['line\nbreak', 'e\nB', true],
    ['', '', true],
    ['x\u{1f511}y', '\u{1f511}Y', true],
    ['\u{10400}', '\u{10428}', true],
    ['\u{1f511}', '01f', false],
    ['\u{1f511}', '\ud7ff', false],
    ['\ud83d!', '\ud83d', true],
    ['a|b)', '|B)', true],
  ])('%j, %j: %s', (text, part, expected) => {
    expect(matches(text, part)).toBe(expected);
  });

  it('refuses a text that is too long for a pattern', () => {
    const value = 'x'.repeat(1_001);
    expect(() => conditionOf({ field: 'name', op: 'contains', value }, key)).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field: 'name' } }) as Error,
    );
  });

  it('finds exactly the texts that contain the given one', () => {
    fc.assert(
      fc.property(anyText, anyText, anyText, (before, part, after) =>
        matches(before + searchedPair(part) + after, searchedPair(part)),
      ),
    );
  });
});

/** Without halves at its ends, which would pair up with their neighbours. */
const searchedPair = (text: string): string => text.replace(/^[\udc00-\udfff]+|[\ud800-\udbff]+$/g, '');

describe('a searched value', () => {
  const document = { _id: 'x', position: '1', owner: { name: 'n', none: null }, list: ['a', 1], rank: 0, live: false };
  it.each([
    ['owner.name', 'n'],
    ['owner.none', null],
    ['owner.other', null],
    ['owner.name.length', null],
    ['other.name', null],
    ['list', '["a",1]'],
    ['rank', 0],
    ['live', false],
    ['toString', null],
  ])('of %s is %j', (field, expected) => {
    expect(searchedValue(document, field)).toBe(expected);
  });
});

describe('a filter', () => {
  it('matches nothing when compared with null or when `or` is empty', () => {
    const nothing = { _id: { $in: [] } };
    expect(conditionOf({ field: 'rank', op: 'gte', value: null }, key)).toEqual(nothing);
    expect(conditionOf({ or: [] }, key)).toEqual(nothing);
    expect(conditionOf({ and: [] }, key)).toEqual({});
  });

  it('never interprets a value as an operator', () => {
    const value = { $gt: '' } as unknown as string;
    expect(conditionOf({ field: 'rank', op: 'eq', value }, key)).toEqual({ 'f.rank': { $eq: { $gt: '' } } });
  });

  it('refuses a limit that is not a non-negative integer', () => {
    for (const limit of [-1, 1.5, NaN])
      expect(() => pageQuery({ limit }, key)).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
  });
});
