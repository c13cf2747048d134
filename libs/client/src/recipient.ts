import { recipientKeySchema, RekeyError, type RecipientKey } from '@rekey/contracts';
import { open } from '@rekey/platform';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import type { PrivateJwk, PublicJwk } from './options';

/** Returns only the public members of a key for ECDH-ES (RFC 7518 §4.6), or undefined if it is not such a key. */
const publicHalf = ({ kty, crv, x, y, kid }: PublicJwk): RecipientKey | undefined =>
  recipientKeySchema.safeParse({ kty, crv, x, ...(y !== undefined && { y }), ...(kid !== undefined && { kid }) }).data;

const invalidKey = (half: string, field: string): RekeyError =>
  new RekeyError('invalid_request', `Must be a ${half} JWK on P-256, P-384, P-521 or X25519.`, { field });

/** Returns the key that encrypts imported values. Throws `invalid_request` if it is not a public key for ECDH-ES. */
export const valueKeyOf = (key: PublicJwk): RecipientKey => {
  const valueKey = publicHalf(key);
  if (!valueKey) throw invalidKey('public', 'valueKey');
  return valueKey;
};

/** The key pair that Rekey encrypts values to. */
export class RecipientKeys {
  private constructor(
    readonly publicKey: RecipientKey,
    private readonly privateKey: JWK,
  ) {}

  /** Throws `invalid_request` if it is not a private key for ECDH-ES. */
  static of(key: PrivateJwk): RecipientKeys {
    const { d } = key;
    const publicKey = publicHalf(key);
    if (!publicKey || d === undefined) throw invalidKey('private', 'recipientKey');
    return new RecipientKeys(publicKey, { ...publicKey, d } as JWK);
  }

  static async generate(): Promise<RecipientKeys> {
    const { privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: true });
    return RecipientKeys.of((await exportJWK(privateKey)) as PrivateJwk);
  }

  /** Returns the decrypted value, or null if it was encrypted to another key. */
  async decrypt(sealedSecret: string): Promise<string | null> {
    return open(sealedSecret, this.privateKey).catch(() => null);
  }
}
