import fc from 'fast-check';
import { Networks, addressText, parseAddress } from './networks';

const inside = (cidrs: string[], address: string): boolean => {
  const parsed = parseAddress(address);
  return parsed !== undefined && new Networks(100).anyContains(cidrs, parsed);
};

describe('parseAddress', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:a00:1', '10.0.0.1'],
    ['0:0:0:0:0:ffff:10.0.0.1', '10.0.0.1'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
  ])('parses %s as %s', (text, address) => {
    expect(addressText(text)).toBe(address);
  });

  it.each([
    undefined,
    '',
    ' ',
    'localhost',
    '10.0.0',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '010.0.0.1',
    '10.0.0.1 ',
    '10.0.0.1:80',
    '[::1]',
    '[::1]:80',
    '10.0.0.1/8',
    '1.2.3.4.5',
    '256.1.1.1',
    ':::',
    '::1::',
    '%',
    '10.0.0.1, 10.0.0.2',
    'unknown',
  ])('rejects %j', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it('never throws, for any text', () => {
    const pieces = fc.constantFrom(
      '1',
      '255',
      '256',
      '.',
      ':',
      '::',
      'ffff',
      '%',
      '/',
      '[',
      ']',
      '-',
      ' ',
      '0x',
      'é',
      '\0',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(pieces).map((all) => all.join('')),
        ),
        (text) => {
          const address = addressText(text);
          expect(address === undefined || addressText(address) === address).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('Networks', () => {
  it.each([
    [['10.0.0.0/8'], '10.255.255.255', true],
    [['10.0.0.0/8'], '11.0.0.0', false],
    [['10.0.0.1/32'], '10.0.0.1', true],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], '::ffff:203.0.113.9', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['::/0'], '2001:db8::1', true],
    [['::/0'], '10.0.0.1', false],
    [['2001:db8::/32'], '2001:db8:ffff::1', true],
    [['2001:db8::/32'], '2001:db9::1', false],
    [['::ffff:10.0.0.0/104'], '10.1.2.3', true],
    [['192.0.2.0/24', '10.0.0.0/8'], '10.0.0.1', true],
    [[], '10.0.0.1', false],
  ])('returns whether %j contains %s: %s', (cidrs, address, expected) => {
    expect(inside(cidrs, address)).toBe(expected);
  });

  it('matches no address with an invalid network', () => {
    expect(inside(['nonsense', '10.0.0.0/99', '10.0.0.0'], '10.0.0.0')).toBe(false);
  });

  it('returns the same result for a cached network', () => {
    const networks = new Networks(1);
    const address = parseAddress('10.0.0.1');
    if (!address) throw new Error('An address was expected.');
    for (const cidr of ['10.0.0.0/8', '192.0.2.0/24', '10.0.0.0/8', 'nonsense', 'nonsense', '10.0.0.0/8'])
      expect(networks.anyContains([cidr], address)).toBe(cidr === '10.0.0.0/8');
  });

  it('finds every address in each network that contains it', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, bits) => {
        expect(inside([`${address}/${bits}`], address)).toBe(true);
        expect(inside([`${address}/${bits}`], `::ffff:${address}`)).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.ipV6(), fc.integer({ min: 0, max: 128 }), (address, bits) => {
        fc.pre(parseAddress(address)?.kind() === 'ipv6');
        expect(inside([`${address}/${bits}`], address)).toBe(true);
      }),
    );
  });
});
