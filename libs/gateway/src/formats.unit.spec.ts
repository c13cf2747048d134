import fc from 'fast-check';
import { SECRET } from './examples';
import { csvOf, prefers } from './formats';

const secret = (changes: object) => ({ ...SECRET, ...changes }) as Parameters<typeof csvOf>[0][number];

/** Parses CSV by RFC 4180 §2. */
const parse = (text: string): string[][] => {
  const records: string[][] = [];
  let record: string[] = [];
  const field = /("((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (field.lastIndex < text.length) {
    const [whole, , quoted, bare, end] = field.exec(text) ?? [];
    if (whole === undefined) throw new Error('Not CSV.');
    record.push(quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'));
    if (end === ',') continue;
    records.push(record);
    record = [];
  }
  return records;
};

const rowOf = (text: string): Record<string, string> => {
  const [names = [], values = []] = parse(text);
  expect(values).toHaveLength(names.length);
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
};

describe('csvOf', () => {
  it('returns a header line if there are no secrets', () => {
    expect(parse(csvOf([]))).toEqual([expect.arrayContaining(['domainId', 'clientId', 'status', 'expiresAt'])]);
  });

  it('does not contain a secret value', () => {
    const text = csvOf([secret({ secret: 'a value' })]);
    expect(rowOf(text)).toMatchObject({ id: SECRET.id, version: '1', status: 'active', revokedAt: '', uses: '' });
    expect(text).not.toContain('a value');
  });

  it('can be parsed whatever text it contains', () => {
    const texts = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(',', '"', '\r', '\n', '=', ' ') }));
    fc.assert(
      fc.property(texts, texts, (description, applicationName) => {
        const row = rowOf(csvOf([secret({ description, applicationName })]));
        const plain = (text: string) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
        expect(row).toMatchObject({ description: plain(description), applicationName: plain(applicationName) });
      }),
    );
  });

  it.each(['=1+1', '+1', '-1', '@SUM(A1)', '\tx', '\rx'])('escapes the formula %j', (description) => {
    expect(rowOf(csvOf([secret({ description })]))['description']).toBe(`'${description}`);
  });
});

const CSV = 'text/csv';

describe('prefers', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['*/*', false],
    ['application/json', false],
    ['text/csv', true],
    ['TEXT/CSV; charset=utf-8', true],
    ['text/*', true],
    ['text/csv, application/json', true],
    ['application/json, text/csv', false],
    ['text/csv, application/json;q=0.5', true],
    ['application/json, text/csv;q=0.9', false],
    ['text/csv;q=0, */*', false],
    ['text/csv;q=0.8, */*;q=0.1', true],
    ['text/csv;q=nonsense', false],
    ['text/csvx', false],
    [';;,,', false],
  ])('%p: %p', (accept, expected) => {
    expect(prefers(accept, CSV)).toBe(expected);
  });
});
