import { prefers } from './accept';

const CSV = 'text/csv';

describe('what a caller prefers to JSON', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['*/*', false],
    ['application/json', false],
    ['text/csv', true],
    ['TEXT/CSV; charset=utf-8', true],
    ['text/*', true],
    ['text/csv, application/json', false],
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
