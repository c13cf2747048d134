import { CLIENT_ID_PATTERN, DOMAIN_ID_PATTERN, DURATION_UNITS, LATEST } from '@rekey/domain';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';

/** An instant: RFC 3339 in UTC with any precision. Parsed to milliseconds and 24 characters. */
export const instantSchema = z.iso
  .datetime({ error: 'Must be an RFC 3339 instant in UTC, for example 2027-01-31T00:00:00Z.' })
  .transform((text) => new Date(text).toISOString())
  .refine((text) => text.length === 24 && text <= LATEST, 'Must be an instant before the year 10000.')
  .meta({ type: 'string', format: 'date-time', examples: ['2027-01-31T00:00:00.000Z'] });

/** A duration: an integer amount of 1 or more, and a unit. Not normalized. */
export const durationSchema = z
  .strictObject({ amount: z.int().min(1).max(1_000_000_000), unit: z.enum(DURATION_UNITS) })
  .meta({ examples: [{ amount: 3, unit: 'months' }] });

export const domainIdSchema = z
  .string()
  .regex(
    DOMAIN_ID_PATTERN,
    'A domain id has 1 to 63 lower-case letters, digits and hyphens, and does not start with a hyphen.',
  );
export const applicationIdSchema = z.uuid().refine((text) => text === text.toLowerCase(), 'Must be lower-case.');
export const secretIdSchema = applicationIdSchema;
export const commandIdSchema = applicationIdSchema;

/** RFC 6749 appendix A.1: VSCHAR. */
export const clientIdSchema = z.string().regex(CLIENT_ID_PATTERN, 'A client id has 1 to 255 visible ASCII characters.');

/**
 * One line of display text, trimmed. Excludes control characters, which would break lines of logs and tables, and
 * lone surrogates: a store would write another character than the one that was hashed.
 */
export const lineSchema = (lengthMax: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(lengthMax)
    .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'Must be one line of text without control characters.');

/** A display name, trimmed. */
export const nameSchema = lineSchema(128);

/** A secret's description: trimmed, 1 to 128 characters. */
export const descriptionSchema = lineSchema(128);

/** E-mail addresses of those who receive notices (`contacts`, RFC 7591 §2). */
export const contactsSchema = z.array(z.email().max(254)).max(20);

/**
 * Returns the normal form of a network: host bits cleared, IPv6 as in RFC 5952, IPv4-mapped IPv6 as IPv4. Returns
 * undefined for text that is not a network, and for forms that software interprets differently: octal numbers, short
 * IPv4, IPv6 zones, and mapped addresses with a prefix shorter than 96.
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

/** A network: `10.0.0.0/8` or `2001:db8::/32`. A single address is a network with one address. */
export const cidrSchema = z
  .string()
  .max(64)
  .transform((text, context) => {
    const network = networkOf(text);
    if (network !== undefined) return network;
    context.addIssue({ code: 'custom', message: 'Must be a network in CIDR notation, for example 10.0.0.0/8.' });
    return z.NEVER;
  })
  .meta({ type: 'string', examples: ['10.0.0.0/8'] });
export const allowedCidrsSchema = z.array(cidrSchema).max(50);

const coordinate = z.string().regex(/^[\w-]{1,100}$/, 'Must be base64url (RFC 7518 §6.2.1).');
const jwkMembers = {
  kid: z.string().max(255).optional(),
  use: z.literal('enc').optional(),
  alg: z.literal('ECDH-ES+A256KW').optional(),
};

/** A public JWK for ECDH-ES (RFC 7518 §4.6), to seal a value to. Private keys are refused. */
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
 * A domain's policy: the expiry of secrets without one of their own, and bounds of lifetimes. `expiry` absent: none.
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

/** An application's policy. */
export const applicationPolicySchema = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('inherit') }),
  z.strictObject({ mode: z.literal('never') }),
  z.strictObject({ mode: z.literal('after'), after: durationSchema }),
]);
