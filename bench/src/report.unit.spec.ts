import { meetsGoal, short, tableOf } from './report';

describe('report', () => {
  it.each([
    [{ value: 0.6, goal: { atLeast: 0.6 } }, true],
    [{ value: 0.59, goal: { atLeast: 0.6 } }, false],
    [{ value: 1.2, goal: { atMost: 1.2 } }, true],
    [{ value: 1.21, goal: { atMost: 1.2 } }, false],
    [{ value: NaN, goal: { atMost: 1 } }, false],
    [{ value: 5 }, true],
  ])('%j meets its goal: %s', (figure, kept) => {
    expect(meetsGoal(figure)).toBe(kept);
  });

  it.each([
    [12345.6, '12,346'],
    [0.123456, '0.123'],
    [1, '1'],
    [0, '0'],
    [20, '20'],
    [NaN, '–'],
  ])('shows %d as %s', (value, text) => {
    expect(short(value)).toBe(text);
  });

  it('shows which goals were met and missed', () => {
    const table = tableOf([
      { name: 'a', what: 'the one', value: 0.5, unit: '', range: [0.4, 0.6], goal: { atLeast: 0.6 } },
      { name: 'b', what: 'the other', value: 30_000, unit: '/s', goal: { atLeast: 20_000 } },
    ]);
    expect(table).toMatch(/the one.*0\.5.*0\.4 … 0\.6.*≥ 0\.6.*MISSED/);
    expect(table).toMatch(/the other.*30,000.*\/s.*≥ 20,000.*met/);
  });
});
