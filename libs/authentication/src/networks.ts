import ipaddr from 'ipaddr.js';
import { isIP } from 'node:net';
import { Recent } from './recent';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** A network as it is compared: an address and how many of its bits count. */
type Network = [Address, number];

const IPV4_MAPPED_BITS = 96;

const unmapped = (address: Address): Address =>
  address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress()
    ? (address as ipaddr.IPv6).toIPv4Address()
    : address;

/**
 * Reads a source address; IPv4-mapped IPv6 (RFC 4291 §2.5.5.2) becomes IPv4, and a zone is dropped. Undefined for
 * everything else, short, octal and hexadecimal IPv4 forms included: two readers may take them for two addresses.
 */
export const parseAddress = (text: string | undefined): Address | undefined => {
  if (text === undefined) return undefined;
  const zoneAt = text.indexOf('%');
  const bare = zoneAt < 0 ? text : text.slice(0, zoneAt);
  return isIP(bare) === 0 ? undefined : unmapped(ipaddr.parse(bare));
};

/** One text for each address, however it was written; undefined for what is none. */
export const addressText = (text: string | undefined): string | undefined => parseAddress(text)?.toString();

const parseNetwork = (text: string): Network | null => {
  try {
    const [address, bits] = ipaddr.parseCIDR(text);
    const plain = unmapped(address);
    if (plain === address) return [address, bits];
    return bits >= IPV4_MAPPED_BITS ? [plain, bits - IPV4_MAPPED_BITS] : [address, bits];
  } catch {
    // Such text never comes through validation; what cannot be read lets nobody in.
    return null;
  }
};

/** Tells whether addresses lie in networks; keeps the networks that it has read, up to a number. */
export class Networks {
  private readonly parsed: Recent<{ readonly network: Network | null }>;

  constructor(networksMax: number) {
    this.parsed = new Recent(networksMax);
  }

  /** Whether an address lies in one of the networks in CIDR notation. IPv4 never lies in an IPv6 network. */
  anyContains(cidrs: readonly string[], address: Address): boolean {
    return cidrs.some((cidr) => {
      const network = this.read(cidr);
      return network !== null && network[0].kind() === address.kind() && address.match(network);
    });
  }

  private read(cidr: string): Network | null {
    const known = this.parsed.get(cidr);
    if (known) return known.network;
    const network = parseNetwork(cidr);
    this.parsed.set(cidr, { network });
    return network;
  }
}
