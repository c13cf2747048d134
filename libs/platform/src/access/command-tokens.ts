import { RekeyError, roleSchema, senderOf, type Caller, type Role } from '@rekey/contracts';
import { invalid } from '@rekey/domain';
import type { Clock, CommandRecord, SignCommand, VerifiedSender, VerifyCommand } from '@rekey/ports';
import { SignJWT, compactVerify, decodeJwt, decodeProtectedHeader, type JWK } from 'jose';
import { createHash, createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';

/** A service that sends commands over Kafka (`access.services`). */
export interface ServiceSender {
  readonly name: string;
  /** Its public keys for EdDSA (Ed25519) or ES256 (P-256), each with a `kid` (RFC 7517 §5). */
  readonly publicJwks: { readonly keys: readonly JWK[] };
  readonly roles: readonly Role[];
  /** Empty: all. */
  readonly domains: readonly string[];
  /** May act for other callers, with the rights that both have. */
  readonly mayActFor: boolean;
}

export interface CommandSignerOptions {
  /** The sender's name in `access.services`. */
  readonly name: string;
  /** Its private JWK, with the `kid` of the public one. */
  readonly privateKey: JWK;
  /** `kafka.audience`. */
  readonly audience: string;
  readonly clock: Clock;
}

/** A token is for one record, so it only needs to outlive the append to the topic. */
const LIFETIME_SECONDS = 120;
const LIFETIME_SECONDS_MAX = 300;
const LEEWAY_SECONDS = 30;
const TOKEN_LENGTH_MAX = 64 * 1024;
const NO_LENGTH = 0xffffffff;
const BEARER = /^bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i;

/** Text without lone surrogates, which UTF-8 cannot encode. */
const TEXT = '[^\\p{Cs}]{1,255}';
/** A caller as `senderOf` names it. Services are excluded, because they send their own commands. */
const SUBJECT = new RegExp(`^(token|user|system):(${TEXT})$`, 'u');
const CORRELATION_ID = new RegExp(`^${TEXT}$`, 'u');

const claimsSchema = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  jti: z.string(),
  iat: z.number(),
  nbf: z.number().optional(),
  exp: z.number(),
  bh: z.string(),
  rh: z.string(),
  sub: z.string().regex(SUBJECT).optional(),
  roles: z.array(roleSchema).optional(),
  domains: z.array(z.string()).optional(),
  cid: z.string().regex(CORRELATION_ID).optional(),
});
type Claims = z.infer<typeof claimsSchema>;

/** `bh`: base64url of the SHA-256 of a record's value. */
export const valueHash = ({ value }: Pick<CommandRecord, 'value'>): string =>
  createHash('sha256').update(value).digest('base64url');

/**
 * `rh`: base64url of the SHA-256 of key, reply topic, reply partition and correlation id, in this order. Each is encoded
 * as its length (four bytes, big-endian) followed by its bytes in the record; one that is absent as the four bytes
 * FF FF FF FF, which differs from an empty one.
 */
export const routeHash = ({ key, replyTopic, replyPartition, correlationId }: CommandRecord): string => {
  const hash = createHash('sha256');
  for (const part of [key, replyTopic, replyPartition, correlationId]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part?.length ?? NO_LENGTH);
    hash.update(length).update(part ?? '');
  }
  return hash.digest('base64url');
};

/**
 * Returns a function that signs commands of a sender. If the caller is not the sender itself, the token names it as `sub`
 * (`<type>:<name>`) with its `roles` and `domains`. Throws `invalid_request` if the key is not for EdDSA or ES256, or has
 * no `kid`.
 */
export const commandSigner = ({ name, privateKey, audience, clock }: CommandSignerOptions): SignCommand => {
  const { kid } = privateKey;
  const { key, alg } = signingKey(privateKey, createPrivateKey);
  if (key === undefined || alg === undefined || kid === undefined)
    throw invalid('privateKey', 'Must be a private JWK with a kid, for EdDSA (Ed25519) or ES256 (P-256).');
  return async ({ command, caller, correlationId }, record) => {
    const { roles, domains } = caller;
    const isItself = caller.type === 'service' && caller.name === name;
    const iat = Math.floor(clock.nowMs() / 1_000);
    const token = await new SignJWT({
      bh: valueHash(record),
      rh: routeHash(record),
      ...(CORRELATION_ID.test(correlationId) && { cid: correlationId }),
      ...(!isItself && { sub: senderOf(caller), roles, domains }),
    })
      .setProtectedHeader({ alg, kid })
      .setIssuer(name)
      .setAudience(audience)
      .setJti(command.id)
      .setIssuedAt(iat)
      .setExpirationTime(iat + LIFETIME_SECONDS)
      .sign(key);
    return `Bearer ${token}`;
  };
};

interface KnownSender extends ServiceSender {
  readonly keys: ReadonlyMap<string, { readonly key: KeyObject; readonly alg: string }>;
}

/** Verifies the senders of commands by their tokens (RFC 7519, RFC 8037). A token is valid for one record only. */
export class CommandTokens {
  private readonly senders = new Map<string, KnownSender>();

  /** Throws `invalid_request` with the field if two senders have the same name, or a key cannot be used. */
  constructor(
    senders: readonly ServiceSender[],
    private readonly audience: string,
  ) {
    for (const sender of senders) {
      const field = `access.services.${sender.name}`;
      if (this.senders.has(sender.name)) throw invalid(field, 'There are two senders with this name.');
      this.senders.set(sender.name, { ...sender, keys: publicKeys(sender, field) });
    }
  }

  /**
   * Returns the sender of a record. Throws `unauthenticated` if the signature, the audience, the record or the command's
   * id does not match, without telling which, and `forbidden` if the sender may not act for the caller. An expired token
   * is only reported (`fresh`), because a command that was executed before is answered again however old its token is.
   */
  readonly verify: VerifyCommand = async (authorization, record, commandId, timestampMs) => {
    const { sender, claims } = await this.signed(authorization);
    const { aud, jti, bh, rh, iat, nbf = iat, exp, cid } = claims;
    const fits =
      (Array.isArray(aud) ? aud.includes(this.audience) : aud === this.audience) &&
      jti === commandId &&
      bh === valueHash(record) &&
      rh === routeHash(record) &&
      iat <= exp &&
      exp <= iat + LIFETIME_SECONDS_MAX;
    if (!fits) throw unauthenticated();
    const at = timestampMs / 1_000;
    return {
      caller: callerOf(sender, claims),
      fresh: Math.max(iat, nbf) - LEEWAY_SECONDS <= at && at <= exp + LEEWAY_SECONDS,
      ...(cid !== undefined && { correlationId: cid }),
    } satisfies VerifiedSender;
  };

  private async signed(authorization: string | undefined): Promise<{ sender: KnownSender; claims: Claims }> {
    if (authorization === undefined || authorization.length > TOKEN_LENGTH_MAX) throw unauthenticated();
    const token = BEARER.exec(authorization)?.[1] ?? '';
    try {
      const sender = this.senders.get(decodeJwt(token).iss ?? '');
      const known = sender?.keys.get(decodeProtectedHeader(token).kid ?? '');
      if (!sender || !known) throw unauthenticated();
      const { payload } = await compactVerify(token, known.key, { algorithms: [known.alg] });
      const claims = claimsSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)));
      return { sender, claims };
    } catch (cause) {
      throw unauthenticated(cause);
    }
  }
}

const publicKeys = ({ publicJwks }: ServiceSender, field: string): KnownSender['keys'] => {
  const keys = new Map<string, { key: KeyObject; alg: string }>();
  for (const jwk of publicJwks.keys) {
    const { kid } = jwk;
    const { key, alg } = signingKey(jwk, createPublicKey);
    if (jwk.d !== undefined) throw invalid(field, 'This is a private key. Set the public one.');
    if (key === undefined || alg === undefined || kid === undefined || kid === '')
      throw invalid(field, 'Each key must be a public JWK with a kid, for EdDSA (Ed25519) or ES256 (P-256).');
    if (keys.has(kid)) throw invalid(field, 'Two keys have the same kid.');
    keys.set(kid, { key, alg });
  }
  return keys;
};

type MakeKey = (from: { key: JsonWebKey; format: 'jwk' }) => KeyObject;

/** Returns a key and its algorithm; nothing if the key is not for EdDSA or ES256. */
const signingKey = (jwk: JWK, make: MakeKey): { key?: KeyObject; alg?: 'EdDSA' | 'ES256' } => {
  if (jwk.use !== undefined && jwk.use !== 'sig') return {};
  try {
    const key = make({ key: jwk, format: 'jwk' });
    const alg = jwk.crv === 'Ed25519' ? 'EdDSA' : jwk.crv === 'P-256' ? 'ES256' : undefined;
    return alg !== undefined && (jwk.alg ?? alg) === alg ? { key, alg } : {};
  } catch {
    return {};
  }
};

/** Returns the sender, or the caller that it acts for, with the roles and domains that both have. */
const callerOf = (sender: KnownSender, { sub, roles, domains }: Claims): Caller => {
  const own: Caller = { type: 'service', name: sender.name, roles: [...sender.roles], domains: [...sender.domains] };
  if (sub === undefined && roles === undefined && domains === undefined) return own;
  if (!sender.mayActFor)
    throw new RekeyError(
      'forbidden',
      'This sender may not act for others. Set mayActFor in access.services to allow it.',
    );
  const [, type, name] = SUBJECT.exec(sub ?? '') ?? [];
  if (name === undefined || !roles || !domains) throw unauthenticated();
  return {
    type: type as Caller['type'],
    name,
    roles: roles.filter((role) => sender.roles.includes(role)),
    domains: within(domains, sender.domains),
  };
};

/** Returns the domains that are in both lists. An empty list means all, so no common domain is an error. */
const within = (asked: readonly string[], own: readonly string[]): string[] => {
  if (own.length === 0) return [...asked];
  if (asked.length === 0) return [...own];
  const both = asked.filter((domain) => own.includes(domain));
  if (both.length === 0)
    throw new RekeyError('forbidden', 'The sender may not access any domain that its token names.');
  return both;
};

const unauthenticated = (cause?: unknown): RekeyError =>
  new RekeyError('unauthenticated', 'The command has no valid token of a known sender.', {}, { cause });
