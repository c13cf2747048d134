import fc from 'fast-check';
import { ResponseReader } from './response-reader';

const withLength = 'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"a":"\u00e4b"}';
const chunked = 'HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n';
const empty = 'HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n';

describe('ResponseReader', () => {
  it.each([
    [withLength, { status: 200, body: '{"a":"\u00e4b"}' }],
    [chunked, { status: 401, body: '3\r\nabc\r\n0\r\n\r\n' }],
    [empty, { status: 204, body: '' }],
  ])('reads %j', (text, answer) => {
    expect(new ResponseReader().pushWhole(Buffer.from(text))).toEqual(answer);
  });

  it('reads answers split at any point', () => {
    const answers = [withLength, chunked].map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...answers), { minLength: 1 }), fc.array(fc.nat(40)), (all, cuts) => {
        const reader = new ResponseReader();
        // Like a socket, which reuses its buffer.
        const buffer = Buffer.alloc(1024);
        for (const answer of all) {
          const places = [...new Set([...cuts.map((cut) => Math.min(cut + 1, answer.length)), answer.length])];
          places.sort((left, right) => left - right);
          let from = 0;
          for (const place of places) {
            const length = answer.copy(buffer, 0, from, place);
            const status = reader.push(buffer.subarray(0, length));
            expect(status === undefined).toBe(place < answer.length);
            from = place;
          }
        }
      }),
    );
  });
});
