import fc from 'fast-check';
import { engineName, jobQueue } from './names';

const ODD = [
  '',
  '0',
  '12',
  '-5',
  'NaN',
  'Infinity',
  '0:1',
  'a:b',
  'a:b:c',
  'a%3a%b',
  '%',
  '%25%',
  'wait',
  'x:lock',
  'ä',
  '€',
  '😀',
  '\ud800',
  '\udc00',
  '\ufffd',
  '\u0000',
  ' ',
  '.',
  '..',
  'expire.5f0f6a.1',
  'notice.s-1/2/20/ui',
];

describe('engineName', () => {
  it.each(ODD)('encodes "%s" as a name that BullMQ accepts', (text) => {
    const name = engineName(text);
    expect(name).not.toContain(':');
    expect(name).not.toBe('');
    expect(String(parseInt(name, 10))).not.toBe(name);
    expect(Buffer.from(name).toString()).toBe(name);
  });

  it('is injective', () => {
    expect(new Set(ODD.map(engineName)).size).toBe(ODD.length);
    const text = fc.string({ unit: fc.constantFrom(':', '%', '3', 'a', '2', '5', '\ud800', '\udc00', '\ufffd') });
    fc.assert(fc.property(text, text, (a, b) => (engineName(a) === engineName(b)) === (a === b)));
  });

  it('differs from the names of BullMQ keys', () => {
    for (const own of ['wait', 'delayed', 'meta', 'id', 'repeat']) expect(engineName(own)).not.toBe(own);
  });

  it('names a queue', () => {
    expect(jobQueue('notices.email')).toBe('jobs.notices.email');
    expect(jobQueue('a:b')).not.toContain(':');
  });
});
