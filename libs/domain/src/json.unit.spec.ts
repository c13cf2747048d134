import fc from 'fast-check';
import { present, sameJson } from './json';

describe('sameJson', () => {
  it.each<[unknown, unknown, boolean]>([
    [{ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }, true],
    [{ a: 1 }, { a: 1, b: undefined }, true],
    [{ a: 1 }, { a: 1, b: null }, false],
    [[1, 2], [2, 1], false],
    [[1], [1, 2], false],
    [[], {}, false],
    [['a'], { 0: 'a' }, false],
    ['1', 1, false],
    [null, {}, false],
    [null, null, true],
    [0, false, false],
  ])('returns for %j and %j: %j', (left, right, same) => {
    expect(sameJson(left, right)).toBe(same);
    expect(sameJson(right, left)).toBe(same);
  });

  it('returns true for a value and its copy, and for values that serialize to the same text', () =>
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
        const [one, other] = [JSON.stringify(left), JSON.stringify(right)];
        expect(sameJson(JSON.parse(one), JSON.parse(one))).toBe(true);
        if (one === other) expect(sameJson(left, right)).toBe(true);
      }),
    ));
});

it('present omits keys whose value is undefined', () =>
  expect(Object.keys(present({ a: 1, b: undefined, c: null }))).toEqual(['a', 'c']));
