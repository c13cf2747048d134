import { Formatter, distance, plain, status, when, durationText } from './output';

const NOW = '2026-03-01T12:00:00.000Z';
const at = (ms: number): string => new Date(Date.parse(NOW) + ms).toISOString();
const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000];

describe('a distance', () => {
  it.each([
    [0, 'now'],
    [499, 'now'],
    [SECOND, 'in 1 second'],
    [89 * SECOND, 'in 89 seconds'],
    [2 * MINUTE, 'in 120 seconds'],
    [5 * MINUTE, 'in 5 minutes'],
    [119 * MINUTE + 59 * SECOND, 'in 120 minutes'],
    [47 * HOUR, 'in 47 hours'],
    [2 * DAY - 1, 'in 48 hours'],
    [5 * DAY + 23 * HOUR, 'in 6 days'],
    [90 * DAY - 1, 'in 90 days'],
    [90 * DAY, 'in 90 days'],
    [100 * DAY, 'in 100 days'],
    [120 * DAY, 'in 4 months'],
    [800 * DAY, 'in 26 months'],
    [1_100 * DAY, 'in 3 years'],
    [-3 * DAY, '3 days ago'],
    [-1 * SECOND, '1 second ago'],
  ])('of %d ms is "%s"', (ms, expected) => expect(distance(at(ms), NOW)).toBe(expected));

  it('follows the exact instant', () => {
    expect(when(at(5 * DAY), NOW)).toBe('2026-03-06T12:00:00.000Z (in 5 days)');
  });
});

describe('durationText', () => {
  it('formats a duration', () => {
    expect(durationText({ amount: 1, unit: 'days' })).toBe('1 day');
    expect(durationText({ amount: 3, unit: 'months' })).toBe('3 months');
  });
});

describe('Formatter', () => {
  const [grey, coloured] = [new Formatter(false), new Formatter(true)];

  it('aligns columns and trims line ends', () => {
    const text = grey.table(
      ['ID', 'NAME'],
      [
        ['a', 'First'],
        ['longer', undefined],
      ],
    );
    expect(text.split('\n')).toEqual(['ID      NAME', 'a       First', 'longer  -']);
  });

  it('leaves out undefined entries', () => {
    expect(
      grey.record([
        ['Name', 'Acme'],
        ['Expires', undefined],
        ['Id', 'x'],
      ]),
    ).toBe('Name  Acme\nId    x');
  });

  it('uses colours only when enabled', () => {
    expect(grey.write(status('active'))).toBe('active');
    expect(coloured.write(status('active'))).toBe('\u001b[32mactive\u001b[0m');
    expect(coloured.write(status('unheard of'))).toBe('unheard of');
    expect(coloured.table(['A'], [['b']])).toBe('\u001b[1mA\u001b[0m\nb');
  });

  it('replaces control characters', () => {
    const evil = '\u001b[2Jhidden\r\nline\u009b1m\u202egpj';
    expect(plain(evil)).toBe('\ufffd[2Jhidden\ufffd\ufffdline\ufffd1m\ufffdgpj');
    expect(grey.table(['NAME'], [[evil]])).toBe(`NAME\n${plain(evil)}`);
    expect(grey.record([['Name', evil]])).toBe(`Name  ${plain(evil)}`);
    expect(coloured.write({ text: evil, colour: 'red' })).toBe(`\u001b[31m${plain(evil)}\u001b[0m`);
  });
});
