import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { DURATION_UNITS } from '@rekey/domain';
import {
  applicationId,
  clientId,
  domainId,
  duration,
  instant,
  instantOrAgo,
  instantOrAhead,
  repeatable,
  wholeNumber,
} from './input';

const NOW = '2026-03-31T12:00:00.000Z';

describe('a duration', () => {
  it.each([
    ['30s', 30, 'seconds'],
    ['15min', 15, 'minutes'],
    ['12h', 12, 'hours'],
    ['90d', 90, 'days'],
    ['2w', 2, 'weeks'],
    ['3months', 3, 'months'],
    ['3mo', 3, 'months'],
    ['1y', 1, 'years'],
    ['1 Year', 1, 'years'],
    ['3 months', 3, 'months'],
  ])('reads %s', (text, amount, unit) => {
    expect(duration(text)).toEqual({ amount, unit });
  });

  it('reads every unit of the domain by its own name', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), fc.constantFrom(...DURATION_UNITS), (amount, unit) => {
        expect(duration(`${amount}${unit}`)).toEqual({ amount, unit });
      }),
    );
  });

  it.each(['', '90', 'd', '0d', '-1d', '1.5h', '1h30min', '1000000001s', '3constructor', '9 0d', '90 parsecs'])(
    'refuses %j',
    (text) => expect(() => duration(text)).toThrow(InvalidArgumentError),
  );

  it('refuses m as ambiguous', () => {
    expect(() => duration('3m')).toThrow('3min for minutes or 3mo for months');
  });
});

describe('an instant', () => {
  it.each([
    ['2027-01-31T00:00:00Z', '2027-01-31T00:00:00.000Z'],
    ['2027-01-31T00:00:00.25Z', '2027-01-31T00:00:00.250Z'],
    ['2027-01-31T00:30+01:00', '2027-01-30T23:30:00.000Z'],
    ['2027-01-31', '2027-01-31T00:00:00.000Z'],
    ['2028-02-29T23:59:59-12:00', '2028-03-01T11:59:59.000Z'],
  ])('reads %s', (text, expected) => expect(instant(text)).toBe(expected));

  it.each([
    '2027-01-31T00:00:00',
    '2027-02-30',
    '2027-02-29T00:00:00Z',
    '2027-13-01',
    '2027-01-31T25:00:00Z',
    '2027-W05-1',
    '9999-12-31T23:59:59-01:00',
    'tomorrow',
    '',
  ])('refuses %j', (text) => expect(() => instant(text)).toThrow(InvalidArgumentError));

  it('accepts a duration before now, by the calendar', () => {
    expect(instantOrAgo('1month', NOW)).toBe('2026-02-28T12:00:00.000Z');
    expect(instantOrAgo('2026-01-01', NOW)).toBe('2026-01-01T00:00:00.000Z');
  });

  it('accepts a duration from now, by the calendar', () => {
    expect(instantOrAhead('1month', NOW)).toBe('2026-04-30T12:00:00.000Z');
    expect(instantOrAhead('2027-01-01T01:00+01:00', NOW)).toBe('2027-01-01T00:00:00.000Z');
    expect(() => instantOrAhead('9000y', NOW)).toThrow('before the year 10000');
  });

  it('names both forms when the text is neither', () => {
    expect(() => instantOrAgo('yesterday', NOW)).toThrow('Expected a time, e.g. 2027-01-31T00:00:00Z');
    expect(() => instantOrAhead('tomorrow', NOW)).toThrow('or a duration, e.g. 7d');
    expect(() => instantOrAgo('7parsecs', NOW)).toThrow('a unit');
  });
});

describe('names and numbers', () => {
  it('accepts ids that the domain accepts', () => {
    expect(domainId('acme-2')).toBe('acme-2');
    expect(clientId('Billing: EU')).toBe('Billing: EU');
    expect(applicationId('5F0C8B5E-6A5E-5A44-9C3A-2F9B6F0F7A10')).toBe('5f0c8b5e-6a5e-5a44-9c3a-2f9b6f0f7a10');
  });

  it.each([
    [domainId, '../acme'],
    [domainId, 'Acme'],
    [clientId, ''],
    [clientId, 'bü'],
    [applicationId, 'billing'],
    [wholeNumber(1, 200), '0'],
    [wholeNumber(1, 200), '201'],
    [wholeNumber(1, 200), '1e2'],
  ])('%p refuses %j', (parse: (text: string) => unknown, text) => {
    expect(() => parse(text)).toThrow(InvalidArgumentError);
  });

  it('collects the values of a repeatable option', () => {
    expect(repeatable('b', repeatable('a'))).toEqual(['a', 'b']);
  });
});
