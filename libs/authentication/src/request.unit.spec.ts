import fc from 'fast-check';
import { parseBasic } from './request';

const header = (text: string): string => `Basic ${Buffer.from(text, 'utf8').toString('base64')}`;
const read = (text: string): string[] =>
  parseBasic(header(text)).map(({ clientId, clientSecret }) => `${clientId} / ${clientSecret}`);
/** Encodes as application/x-www-form-urlencoded (RFC 6749 §2.3.1). */
const form = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1);

const vschar = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) });
const clientId = vschar.filter((text) => text.length > 0);

describe('parseBasic', () => {
  it('returns one reading for text without % and +', () => {
    expect(read('client:secret')).toEqual(['client / secret']);
  });

  it('splits at the first colon, so that a secret may contain colons', () => {
    expect(read('client:a:b:')).toEqual(['client / a:b:']);
    expect(read('client:')).toEqual(['client / ']);
  });

  it('decodes a colon in the client id', () => {
    expect(read('urn%3Aclient:secret')[0]).toBe('urn:client / secret');
  });

  it('returns escapes decoded, then raw', () => {
    expect(read('client:100%25')).toEqual(['client / 100%', 'client / 100%25']);
  });

  it('decodes only once', () => {
    expect(read('client:%2525')).toEqual(['client / %25', 'client / %2525']);
  });

  it('returns raw text if a percent sign does not begin an escape', () => {
    expect(read('client:100%')).toEqual(['client / 100%']);
    expect(read('client:%zz%41')).toEqual(['client / %zz%41']);
    expect(read('50%:a%41+')).toEqual(['50% / a%41+']);
  });

  it('returns a plus sign as a plus sign, then as a space', () => {
    expect(read('my+app:a+b')).toEqual(['my+app / a+b', 'my app / a b']);
  });

  it('returns both meanings of a plus sign next to escapes', () => {
    expect(read('client:ab+c%2Fd%3D')).toEqual(['client / ab+c/d=', 'client / ab c/d=']);
  });

  it('does not decode escapes that are not UTF-8', () => {
    expect(read('client:%ff')).toEqual(['client / %ff']);
  });

  it('does not decode escapes to control characters', () => {
    expect(read('client:a%00b')).toEqual(['client / a%00b']);
  });

  it.each([
    ['no header', undefined],
    ['nothing', ''],
    ['no credentials', 'Basic '],
    ['another scheme', 'Bearer Y2xpZW50OnNlY3JldA=='],
    ['a token that is not base64', 'Basic !!!'],
    ['two tokens', 'Basic Y2xpZW50OnNlY3JldA== Y2xpZW50OnNlY3JldA=='],
    ['base64url', 'Basic Pz8_Pzo-Pj4-'],
    ['no colon', header('client')],
    ['bytes that are not UTF-8', `Basic ${Buffer.from([0x61, 0x3a, 0xff, 0xfe]).toString('base64')}`],
    ['a control character', header('client:sec\u0000ret')],
    ['a line break', header('client:secret\n')],
    ['a header longer than any credentials', header(`client:${'x'.repeat(9000)}`)],
  ])('returns no reading for %s', (_what, text) => {
    expect(parseBasic(text)).toEqual([]);
  });

  it.each(['basic', 'BASIC', 'Basic '])('accepts the scheme written as %j', (scheme) => {
    expect(parseBasic(`${scheme} ${Buffer.from('a:b').toString('base64')}`)).toHaveLength(1);
  });

  it('accepts base64 without padding', () => {
    expect(parseBasic('Basic YTpi')).toEqual([{ clientId: 'a', clientSecret: 'b' }]);
    expect(parseBasic('Basic YTpiYg')).toEqual([{ clientId: 'a', clientSecret: 'bb' }]);
  });

  it('returns form-encoded credentials decoded', () => {
    fc.assert(
      fc.property(clientId, vschar, (id, secret) => {
        const readings = parseBasic(header(`${form(id)}:${form(secret)}`));
        expect(readings).toContainEqual({ clientId: id, clientSecret: secret });
      }),
    );
  });

  it('returns percent-encoded credentials decoded', () => {
    fc.assert(
      fc.property(clientId, vschar, (id, secret) => {
        const readings = parseBasic(header(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`));
        expect(readings).toContainEqual({ clientId: id, clientSecret: secret });
      }),
    );
  });

  it('returns raw credentials, unless they contain both a plus and a percent sign', () => {
    fc.assert(
      fc.property(clientId, vschar, (id, secret) => {
        fc.pre(!id.includes(':'));
        const text = id + secret;
        fc.pre(!(text.includes('+') && /%/.test(text)));
        expect(parseBasic(header(`${id}:${secret}`))).toContainEqual({ clientId: id, clientSecret: secret });
      }),
    );
  });

  it('never throws, and returns at most two readings', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), vschar.map(header)), (text) => {
        expect(parseBasic(text).length).toBeLessThanOrEqual(2);
      }),
    );
  });
});
