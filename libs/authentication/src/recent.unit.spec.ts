import fc from 'fast-check';
import { Recent } from './recent';

describe('Recent', () => {
  it('gives what was set last', () => {
    const recent = new Recent<string>(10);
    recent.set('a', '1');
    recent.set('a', '2');
    expect([recent.get('a'), recent.get('b')]).toEqual(['2', undefined]);
  });

  it('keeps what is used, and forgets what is not', () => {
    const recent = new Recent<string>(10);
    recent.set('used', 'x');
    recent.set('unused', 'x');
    for (let index = 0; index < 100; index++) {
      recent.set(`k${index}`, 'x');
      recent.get('used');
    }
    expect([recent.get('used'), recent.get('unused')]).toEqual(['x', undefined]);
  });

  it('holds the latest half at least, the given number at most, and never another value than the last', () => {
    const step = fc.record({ key: fc.integer({ min: 0, max: 20 }).map(String), value: fc.option(fc.string()) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 200 }), (max, steps) => {
        const recent = new Recent<string>(max);
        const all = new Map<string, string>();
        let used: string[] = [];
        for (const { key, value } of steps) {
          if (value !== null) {
            recent.set(key, value);
            all.set(key, value);
            used = [key, ...used.filter((other) => other !== key)];
          } else {
            const found = recent.get(key);
            if (found !== undefined) {
              expect(found).toBe(all.get(key));
              used = [key, ...used.filter((other) => other !== key)];
            }
          }
          expect(recent.size).toBeLessThanOrEqual(2 * Math.ceil(max / 2));
        }
        for (const key of used.slice(0, Math.ceil(max / 2)).reverse()) expect(recent.get(key)).toBe(all.get(key));
      }),
    );
  });
});
