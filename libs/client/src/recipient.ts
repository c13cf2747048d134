import { recipientKeySchema, RekeyError, type RecipientKey } from '@rekey/contracts';
import { open } from '@rekey/platform';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import type { PrivateJwk, PublicJwk } from './options';

/** The public half of a key for ECDH-ES (RFC 7518 §4.6), and nothing else of it; undefined where it is none. */
const publicHalf = ({ kty, crv, x, y, kid }: PublicJwk): RecipientKey | undefined =>
  recipientKeySchema.safeParse({ kty, crv, x, ...(y !== undefined && { y }), ...(kid !== undefined && { kid }) }).data;

const noKey = (half: string, field: string): RekeyError =>
  new RekeyError('invalid_request', `Must be a ${half} JWK on P-256, P-384, P-521 or X25519.`, { field });

/** The key that values are sealed to which a service brings. Throws `invalid_request` where it is none for ECDH-ES. */
export const valueKeyOf = (key: PublicJwk): RecipientKey => {
  const valueKey = publicHalf(key);
  if (!valueKey) throw noKey('public', 'valueKey');
  return valueKey;
};

/** The key pair that values are sealed to, and opened by. */
export class RecipientKeys {
  private constructor(
    readonly publicKey: RecipientKey,
    private readonly privateKey: JWK,
  ) {}

  /** Throws `invalid_request` where the key is none for ECDH-ES. */
  static of(key: PrivateJwk): RecipientKeys {
    const { d } = key;
    const publicKey = publicHalf(key);
    if (!publicKey || d === undefined) throw noKey('private', 'recipientKey');
    return new RecipientKeys(publicKey, { ...publicKey, d } as JWK);
  }

  static async made(): Promise<RecipientKeys> {
    const { privateKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: true });
    return RecipientKeys.of((await exportJWK(privateKey)) as PrivateJwk);
  }

  /** The value in clear; null where it was sealed to another key: it is as lost as one that is not kept any longer. */
  async opened(sealedSecret: string): Promise<string | null> {
    return open(sealedSecret, this.privateKey).catch(() => null);
  }
}
