import { CLIENT_ID_PATTERN, DOMAIN_ID_PATTERN, DURATION_UNITS, LATEST } from '@rekey/domain';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';

/** RFC 3339 in UTC; any precision is taken, milliseconds are kept. Answers the 24-character form. */
export const instantSchema = z.iso
  .datetime({ error: 'An RFC 3339 instant in UTC, for example 2027-01-31T00:00:00Z.' })
  .transform((text) => new Date(text).toISOString())
  .refine((text) => text.length === 24 && text <= LATEST, 'An instant up to the year 9999.')
  .meta({ type: 'string', format: 'date-time', examples: ['2027-01-31T00:00:00.000Z'] });

/** A whole amount of at least 1 and a unit, kept as it was written. */
export const durationSchema = z
  .strictObject({ amount: z.int().min(1).max(1_000_000_000), unit: z.enum(DURATION_UNITS) })
  .meta({ examples: [{ amount: 3, unit: 'months' }] });

export const domainIdSchema = z.string().regex(DOMAIN_ID_PATTERN, 'A domain id fits [a-z0-9][a-z0-9-]{0,62}.');
export const applicationIdSchema = z.uuid().refine((text) => text === text.toLowerCase(), 'Ids are lower-case.');
export const secretIdSchema = applicationIdSchema;
export const commandIdSchema = applicationIdSchema;

/** RFC 6749 appendix A.1: VSCHAR. */
export const clientIdSchema = z.string().regex(CLIENT_ID_PATTERN, 'A client id has 1 to 255 visible ASCII characters.');

/**
 * One line of text for people, trimmed. Without control characters, which would break lines of logs and tables, and
 * without halves of surrogate pairs, which a store would write as another character than the one that was hashed.
 */
export const lineSchema = (lengthMax: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(lengthMax)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'One line of text without control characters.');

/** A display name, trimmed. */
export const nameSchema = lineSchema(128);

/** A secret's description: trimmed, 1 to 128 characters. */
export const descriptionSchema = lineSchema(128);

/** RFC 7591 §2 `contacts`: whom to tell; e-mail addresses. */
export const contactsSchema = z.array(z.email().max(254)).max(20);

/**
 * The normal form of a network: host bits cleared, IPv6 as RFC 5952 writes it, IPv4-mapped IPv6 as IPv4; undefined for
 * what is none. Octal numbers, short IPv4, IPv6 zones and a mapped address with a prefix that reaches beyond the mapped
 * ones are none: software does not agree on what they mean.
 */
const networkOf = (text: string): string | undefined => {
  const isIPv6 = text.includes(':');
  const whole = text.includes('/') ? text : `${text}/${isIPv6 ? 128 : 32}`;
  if (!isIPv6) {
    if (!ipaddr.IPv4.isValidCIDRFourPartDecimal(whole)) return undefined;
    return `${ipaddr.IPv4.networkAddressFromCIDR(whole).toString()}/${ipaddr.IPv4.parseCIDR(whole)[1]}`;
  }
  if (whole.includes('%') || !ipaddr.IPv6.isValidCIDR(whole)) return undefined;
  const [address, prefix] = ipaddr.IPv6.parseCIDR(whole);
  if (address.isIPv4MappedAddress())
    return prefix < 96 ? undefined : networkOf(`${address.toIPv4Address().toString()}/${prefix - 96}`);
  return `${ipaddr.IPv6.networkAddressFromCIDR(whole).toString()}/${prefix}`;
};

/** A network, `10.0.0.0/8` or `2001:db8::/32`; an address alone counts as a network of its own. */
export const cidrSchema = z
  .string()
  .max(64)
  .transform((text, context) => {
    const network = networkOf(text);
    if (network !== undefined) return network;
    context.addIssue({ code: 'custom', message: 'A network in CIDR notation, for example 10.0.0.0/8.' });
    return z.NEVER;
  })
  .meta({ type: 'string', examples: ['10.0.0.0/8'] });
export const allowedCidrsSchema = z.array(cidrSchema).max(50);

const coordinate = z.string().regex(/^[\w-]{1,100}$/, 'Base64url, as RFC 7518 §6.2.1 has it.');
const jwkMembers = {
  kid: z.string().max(255).optional(),
  use: z.literal('enc').optional(),
  alg: z.literal('ECDH-ES+A256KW').optional(),
};

/** A public key to seal a value to: a JWK for ECDH-ES (RFC 7518 §4.6). A private one is refused. */
export const recipientKeySchema = z.discriminatedUnion('kty', [
  z.strictObject({
    kty: z.literal('EC'),
    crv: z.enum(['P-256', 'P-384', 'P-521']),
    x: coordinate,
    y: coordinate,
    ...jwkMembers,
  }),
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('X25519'), x: coordinate, ...jwkMembers }),
]);
export type RecipientKey = z.infer<typeof recipientKeySchema>;

/** A value sealed to a recipient: a compact JWE (RFC 7516 §7.1). */
export const sealedValueSchema = z
  .string()
  .regex(/^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$/)
  .max(4096);

/**
 * What a domain does with secrets that say nothing of their own (absent: nothing), and the bounds that nobody may leave.
 */
export const domainPolicySchema = z.strictObject({
  expiry: z
    .discriminatedUnion('mode', [
      z.strictObject({ mode: z.literal('after'), after: durationSchema }),
      z.strictObject({ mode: z.literal('never') }),
    ])
    .optional(),
  minLifetime: durationSchema.optional(),
  maxLifetime: durationSchema.optional(),
});

/** An application's own rule. */
export const applicationPolicySchema = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('inherit') }),
  z.strictObject({ mode: z.literal('never') }),
  z.strictObject({ mode: z.literal('after'), after: durationSchema }),
]);
