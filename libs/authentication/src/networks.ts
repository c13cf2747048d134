import ipaddr from 'ipaddr.js';
import { isIP } from 'node:net';
import { RecentCache } from './caches';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** An address and the length of the prefix. */
type Network = [Address, number];

const IPV4_MAPPED_BITS = 96;

const unmapped = (address: Address): Address =>
  address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress()
    ? (address as ipaddr.IPv6).toIPv4Address()
    : address;

/**
 * Parses a source address. Converts IPv4-mapped IPv6 (RFC 4291 §2.5.5.2) to IPv4 and drops a zone. Returns undefined for
 * everything else, also for short, octal and hexadecimal IPv4 forms, which different parsers read as different addresses.
 */
export const parseAddress = (text: string | undefined): Address | undefined => {
  if (text === undefined) return undefined;
  const zoneAt = text.indexOf('%');
  const bare = zoneAt < 0 ? text : text.slice(0, zoneAt);
  return isIP(bare) === 0 ? undefined : unmapped(ipaddr.parse(bare));
};

/** Returns the canonical text of an address; undefined if the text is not an address. */
export const addressText = (text: string | undefined): string | undefined => parseAddress(text)?.toString();

const parseNetwork = (text: string): Network | null => {
  try {
    const [address, bits] = ipaddr.parseCIDR(text);
    const plain = unmapped(address);
    if (plain === address) return [address, bits];
    return bits >= IPV4_MAPPED_BITS ? [plain, bits - IPV4_MAPPED_BITS] : [address, bits];
  } catch {
    // Validation rejects such text. If it is stored all the same, it must match no address.
    return null;
  }
};

/** Matches addresses against networks, with a cache of parsed networks. */
export class Networks {
  private readonly parsed: RecentCache<{ readonly network: Network | null }>;

  constructor(networksMax: number) {
    this.parsed = new RecentCache(networksMax);
  }

  /** Whether one of the networks (CIDR notation) contains an address. An IPv6 network contains no IPv4 address. */
  anyContains(cidrs: readonly string[], address: Address): boolean {
    return cidrs.some((cidr) => {
      const network = this.parse(cidr);
      return network !== null && network[0].kind() === address.kind() && address.match(network);
    });
  }

  private parse(cidr: string): Network | null {
    const known = this.parsed.get(cidr);
    if (known) return known.network;
    const network = parseNetwork(cidr);
    this.parsed.set(cidr, { network });
    return network;
  }
}
