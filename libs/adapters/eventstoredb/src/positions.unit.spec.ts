import { START } from '@rekey/ports';
import fc from 'fast-check';
import { logPositionOf, textOf } from './positions';

const U64_MAX = 2n ** 64n - 1n;
const place = fc.record({ commit: fc.bigInt(0n, U64_MAX), prepare: fc.bigInt(0n, U64_MAX) });

describe('a position as text', () => {
  it('has 40 digits and parses back to the same log position', () => {
    fc.assert(
      fc.property(place, (position) => {
        expect(textOf(position)).toMatch(/^\d{40}$/);
        expect(logPositionOf(textOf(position))).toEqual(position);
      }),
    );
  });

  it('sorts by commit position, then by prepare position, and after the start', () => {
    fc.assert(
      fc.property(place, place, (left, right) => {
        const isBefore = left.commit < right.commit || (left.commit === right.commit && left.prepare < right.prepare);
        expect(textOf(left) < textOf(right)).toBe(isBefore);
        expect(START < textOf(left)).toBe(true);
      }),
    );
  });

  it('is the start if empty, and is refused if malformed', () => {
    expect(logPositionOf(START)).toBe('start');
    for (const text of ['0', '1'.repeat(20), 'x'.repeat(40), '1'.repeat(41), ` ${'1'.repeat(39)}`])
      expect(() => logPositionOf(text)).toThrow(RangeError);
  });
});
