import { RekeyError } from '@rekey/contracts';
import { cursorAfter, placeOf } from './paging';

const document = { _id: 'an/id "ä"', position: '1', name: 'A name', count: 3 };
const refusal = (cursor: string, sort: { field: string; descending?: boolean }): unknown => {
  try {
    return placeOf(cursor, sort);
  } catch (error) {
    return error;
  }
};

describe('cursors', () => {
  it.each([
    [{ field: 'name' }, 'A name'],
    [{ field: 'count', descending: true }, 3],
    [{ field: 'missing' }, null],
  ])('encode a place in an order: %j', (sort, value) => {
    const cursor = cursorAfter(document, sort);
    expect(cursor).toMatch(/^[\w-]+$/);
    expect(placeOf(cursor, sort)).toEqual({ value, id: document._id });
  });

  it('are refused if they are for another order or invalid', () => {
    const cursor = cursorAfter(document, { field: 'name' });
    const made = [
      cursor.slice(1),
      '',
      'x',
      '%',
      Buffer.from('[1]').toString('base64url'),
      Buffer.from('{"a":1}').toString('base64url'),
    ];
    const refusals = [
      refusal(cursor, { field: 'name', descending: true }),
      ...made.map((text) => refusal(text, { field: 'name' })),
    ];
    for (const error of refusals) {
      expect(error).toBeInstanceOf(RekeyError);
      expect(error).toMatchObject({ code: 'invalid_request', details: { field: 'after' } });
    }
  });
});
